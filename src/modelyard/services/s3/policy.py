"""To come."""


def resource_policy(call, request):
    return None, None
