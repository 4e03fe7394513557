"""DescribeParameters: what there is, without the values."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.ssm import api
from modelyard.services.ssm.filters import check_filters, fits_filters
from modelyard.services.ssm.get import METADATA, told_policies
from modelyard.services.ssm.parameter import by_prefix, newest

KEYS = ("Path", "Name", "Type", "KeyId", "Tier", "DataType", "tag:")


@api.operation
def describe_parameters(call, request):
    old, filters = request.get("Filters") or [], request.get("ParameterFilters") or []
    if old and filters:
        raise validation("You can use either Filters or ParameterFilters in a single request.")
    if request.get("Shared"):
        return {"Parameters": []}  # nobody has shared one: AWS RAM is not built
    # The older kind of filter compares the beginnings of names.
    filters = filters or [{"Key": f["Key"], "Option": "BeginsWith" if f["Key"] == "Name" else "Equals", "Values": f["Values"]} for f in old]
    check_filters(filters, KEYS)
    after = decode_token(request.get("NextToken"), api.error.InvalidNextToken, "") or ""
    limit, shown = request.get("MaxResults") or 50, []
    for record in by_prefix(call.store, call.account, call.region, "", after):
        current = newest(record)
        if not fits_filters(call, record, current, filters):
            continue
        if len(shown) == limit:
            return {"Parameters": shown, "NextToken": encode_token(shown[-1]["Name"])}
        told: dict[str, Any] = {
            "Name": record.name,
            "ARN": record.arn,
            "LastModifiedDate": current["At"],
            "LastModifiedUser": current["User"],
            "Policies": told_policies(current),
        }
        shown.append(told | {name: current[name] for name in METADATA if name in current})
    return {"Parameters": shown}
