from marl.base.moved import getter

__getattr__ = getter(__name__)  # forwards the names of the old module
