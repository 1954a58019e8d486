"""Step1X-Edit v1.0: a Flux-like transformer that edits an image by an instruction.

Liu et al., Step1X-Edit: A Practical Framework for General Image Editing, 2025,
https://arxiv.org/abs/2504.17761; code and weights: stepfun-ai/Step1X-Edit at 570eba6.
"""
