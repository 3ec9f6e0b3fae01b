"""The grammar that the rooms share: plain Python without Django, so that a resource server elsewhere can use it too."""
