"""GetRandomPassword: from the operating system's randomness."""

from __future__ import annotations

import secrets
import string

from modelyard.services.secretsmanager import api

LENGTH = 32
KINDS = {
    "ExcludeLowercase": string.ascii_lowercase,
    "ExcludeUppercase": string.ascii_uppercase,
    "ExcludeNumbers": string.digits,
    "ExcludePunctuation": string.punctuation,
}


@api.operation
def get_random_password(call, request):
    excluded, length = set(request.get("ExcludeCharacters", "")), request.get("PasswordLength", LENGTH)
    kinds = [text for member, text in KINDS.items() if not request.get(member)]
    kinds = [left for text in kinds if (left := "".join(one for one in text if one not in excluded))]
    if request.get("IncludeSpace") and " " not in excluded and (length > len(kinds) or not request.get("RequireEachIncludedType", True)):
        kinds.append(" ")  # may stand in a password, and is none of the types that each must have
    if not kinds:
        raise api.error.InvalidRequestException("The request leaves no characters to make a password of.")
    every = request.get("RequireEachIncludedType", True)
    if every and length < len(kinds):
        raise api.error.InvalidParameterException(
            f"PasswordLength {length} is too short for one character of each of the {len(kinds)} included types."
        )
    chosen = [secrets.choice(text) for text in kinds] if every else []
    chosen += [secrets.choice("".join(kinds)) for _ in range(length - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return {"RandomPassword": "".join(chosen)}
