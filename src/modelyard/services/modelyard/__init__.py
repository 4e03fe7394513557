"""What Modelyard offers beside the AWS services: its own operations, on the same wire, signed and authorised like all others.

The model is `kernel/own_models/modelyard`; each operation is in the file of the resource it belongs to, of whatever service.
"""

from modelyard.kernel.service import Service

api = Service("modelyard")
