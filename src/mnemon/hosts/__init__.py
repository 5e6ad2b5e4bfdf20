from mnemon.hosts.support import FAMILIES, Family, family

__all__ = ["FAMILIES", "Family", "family"]
