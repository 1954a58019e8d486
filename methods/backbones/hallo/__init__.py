"""Hallo: a reference network, a denoising network with motion and audio layers, and projections.

Xu et al., Hallo: Hierarchical Audio-Driven Visual Synthesis for Portrait Image Animation, 2024.
Everything here carries the released checkpoint's parameter names, so that it loads as it is.
"""
