"""The procedural world: 64x64 clips whose masks, flow and edited truth are known exactly.

Objects (colour x shape) move, turn and grow over textured grounds, in one of several styles.
Every array is a pure function of a :class:`~data.world.scene.Scene`; nothing here draws from a
global random state.
"""
