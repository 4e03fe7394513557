NAMES = ["east", "west"]
