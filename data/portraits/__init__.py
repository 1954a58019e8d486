"""The portrait world: 64x64 talking faces whose mouths follow a sound, and whose truth is known.

Faces (skin, hair, eyes, head shape, background) nod, sway and blink; how far the mouth is open is
the loudness of a voice, synthetic or real. Every array is a pure function of a face, a motion and
an opening.
"""
