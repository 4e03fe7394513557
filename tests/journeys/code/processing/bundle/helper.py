NAME = "a module of the bundle"
