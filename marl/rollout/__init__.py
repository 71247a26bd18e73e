from marl.base.moved import getter

__getattr__ = getter(__name__)  # what was in the module of this name
