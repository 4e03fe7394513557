"""`modelyard policy lint`: what it says of documents that IAM takes and that never work, and of those that it does not take."""

import json

import pytest

from modelyard.cli import exits, parser
from modelyard.services.iam import managed
from modelyard.services.iam.lint import fits, lint
from modelyard.services.iam.overlap import overlap
from tests.services.iam.test_managed import COURSES

S3 = "arn:aws:s3:::"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}, indent=1)


def codes(*statements):
    return [(one.level, one.code, one.statement) for one in lint(document(*statements))]


def test_a_sound_policy_has_no_findings():
    assert codes({"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [S3 + "b", S3 + "b/*"]}) == []
    trust = {"Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    assert codes(trust) == []
    bucket = {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "s3:GetObject", "Resource": S3 + "b/*"}
    assert codes(bucket) == []
    assert (
        codes(
            {
                "Action": "iam:PassRole",
                "Resource": "arn:aws:iam::123456789012:role/path/*",
                "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            }
        )
        == []
    )


@pytest.mark.parametrize(
    "statement, code",
    [
        ({"Action": "s3:GetObjekt", "Resource": "*"}, "unknown-action"),
        ({"Action": "sagmaker:CreateModel", "Resource": "*"}, "unknown-service"),
        ({"Action": "s3:GetObject", "Resource": S3 + "b"}, "resource-does-not-fit"),
        ({"Action": "s3:ListBucket", "Resource": S3 + "b/*"}, "resource-does-not-fit"),
        ({"Action": "sagemaker:ListModels", "Resource": "arn:aws:sagemaker:*:*:model/*"}, "needs-any-resource"),
        ({"Action": "s3:ListBucket", "Resource": [S3 + "b", "arn:aws:sqs:us-east-1:123456789012:q"]}, "resource-without-action"),
        ({"Action": "s3:ListBucket", "Resource": S3 + "b", "Condition": {"StringLike": {"s3:prefx": "a"}}}, "unknown-condition-key"),
        ({"Action": "s3:ListBucket", "Resource": S3 + "b", "Condition": {"IpAddress": {"aws:SourceIpp": "10.0.0.0/8"}}}, "unknown-condition-key"),
    ],
)  # fmt: skip
def test_errors(statement, code):
    assert ("error", code, 1) in codes(statement)


@pytest.mark.parametrize(
    "statement, code",
    [
        ({"Action": "*", "Resource": "*"}, "everything"),
        ({"Action": "s3:*", "Resource": "*"}, "wide"),
        ({"Action": "iam:PassRole", "Resource": "*"}, "pass-any-role"),
        ({"NotAction": "iam:*", "Resource": "*"}, "not-action"),
        ({"Action": "s3:GetObject", "NotResource": S3 + "b/*"}, "not-resource"),
        ({"Principal": "*", "Action": "s3:GetObject", "Resource": S3 + "b/*"}, "anyone"),
        ({"Action": "s3:DeleteObject", "Resource": S3 + "b/*", "Condition": {"StringLike": {"s3:prefix": "a"}}}, "condition-key-not-of-action"),
        ({"Action": "s3:Fetch*", "Resource": "*"}, "unknown-action"),
    ],
)  # fmt: skip
def test_warnings(statement, code):
    assert ("warning", code, 1) in codes(statement)


def test_statements_without_effect():
    allow = {"Sid": "Read", "Action": "s3:GetObject", "Resource": S3 + "b/in/*"}
    deny = {"Sid": "Stop", "Effect": "Deny", "Action": "s3:*", "Resource": S3 + "b/*"}
    (found,) = [one for one in lint(document(allow, deny)) if one.code == "no-effect"]
    assert found.statement == 1 and found.text == "It never allows anything: statement Stop denies all of it."
    assert ("warning", "no-effect", 2) in codes({"Action": "s3:Get*", "Resource": S3 + "b/*"}, allow)
    sometimes = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    assert [code for _, code, _ in codes(allow, sometimes)] == []


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "Syntax errors in policy."),
        ('{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject"}]}', "Policy statement must contain resources."),
        ('{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "GetObject", "Resource": "*"}]}', "Actions/Conditions must be prefaced by a vendor"),
        ('{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "b/*"}]}', 'must be in ARN format or "*".'),
        ("[]", "Syntax errors in policy."),
        ("[" * 100_000, "Syntax errors in policy."),
    ],
)  # fmt: skip
def test_what_iam_does_not_take_is_told_in_its_words(text, said):
    (found,) = lint(text)
    assert found.code == "MalformedPolicyDocument" and said in found.text


def test_lines_and_sizes():
    found = lint(document({"Action": "s3:GetObject", "Resource": S3 + "b/*"}, {"Action": "s3:Nothing", "Resource": "*"}))
    assert [(one.statement, one.line) for one in found] == [(2, 9)]
    many = document(*({"Action": "s3:GetObject", "Resource": f"{S3}bucket-{n}/*"} for n in range(200)))
    assert ("error", "size") in {(one.level, one.code) for one in lint(many)}


def test_policies_that_aws_wrote_have_no_errors_but_retired_services():
    allowed = {"unknown-service", "size", "needs-any-resource", "resource-without-action"}
    policies = [
        one for name in COURSES.split() if name != "ReadOnlyAccess" and (one := managed.find(f"{managed.PREFIX}/{name}")) is not None
    ]
    wrong = [(one.name, f.text) for one in policies for f in lint(one.document) if f.level == "error" and f.code not in allowed]
    later = [
        (name, text) for name, text in wrong if "has no such action" in text
    ]  # AWS has actions that the reference at hand does not know yet
    assert len(policies) > 50 and wrong == later and len(later) < 20


@pytest.mark.parametrize(
    "left, right, both",
    [("a*", "*b", True), ("a*c", "b*", False), ("a?c", "abc", True), ("", "*", True), ("ab", "a", False), ("*x*", "\0", True), ("a/b", "\0", False), ("a/*", "\0/c", True)],
)  # fmt: skip
def test_overlap(left, right, both):
    assert overlap(left, right) is both and overlap(right, left) is both


def test_what_fits():
    assert fits("arn:aws:iam::1:role/${aws:username}", "arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}")
    assert not fits(S3 + "b/*", "arn:${Partition}:s3:::${BucketName}") and fits(
        S3 + "b*", "arn:${Partition}:s3:::${BucketName}/${ObjectName}"
    )


def test_the_command(tmp_path, capsys):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(document({"Action": "s3:ListBucket", "Resource": S3 + "b"}))
    bad.write_text(document({"Action": "s3:Nothing", "Resource": "*"}))
    assert parser.main(["policy", "lint", str(good)]) == exits.OK
    assert parser.main(["policy", "lint", str(bad)]) == exits.FAILED
    assert f"{bad}:4:3: error: statement 1 s3:Nothing" in capsys.readouterr().out
    assert parser.main(["policy", "lint", "--json", str(bad)]) == exits.FAILED
    assert json.loads(capsys.readouterr().out)[0]["code"] == "unknown-action"
    assert parser.main(["policy", "lint", str(tmp_path / "none.json")]) == exits.USAGE


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ({"Effect": "allow"}, 'Effect is "Allow" or "Deny", in this spelling, not "allow". IAM answers: The policy failed legacy parsing'),
        ({"Actions": "s3:GetObject"}, "Actions is no element of a statement. Is Action meant?"),
        ({"Condition": {"StringEqual": {"aws:username": "x"}}}, "there is no operator StringEqual. Is StringEquals meant?"),
        ({"Condition": {"Bool": "x"}}, "Bool holds an object of keys and values, not a text."),
        ({"NotAction": "s3:*"}, "Action and NotAction stand together"),
        ({"Principal": {"AWS": "arn:aws:iam::1234:role/x"}}, "arn:aws:iam::1234:role/x is no account (12 digits), ARN"),
        ({"Principal": {"Services": "x"}}, "there is no kind Services"),
    ],
)
def test_what_iam_only_calls_a_syntax_error(statement, text):
    whole = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **statement}]}
    found = lint(json.dumps(whole, indent=1))
    assert text in found[0].text and found[0].level == "error", found
    assert (found[0].line, found[0].column, found[0].statement) == (4, 3, 1)


def test_places_of_json_errors():
    (found,) = lint('{"Version": "2012-10-17",\n "Version": "2012-10-17", "Statement": []}')
    assert (found.line, found.column) == (2, 2) and "Version stands twice" in found.text
    (found,) = lint('{"Version": "2012-10-17",\n "Statement": [}')
    assert (found.line, found.column) == (2, 16)
    assert "this is a list" in lint("[]")[0].text


def test_a_bucket_where_its_objects_are_meant():
    text = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "%s", "Resource": "%s"}}'
    assert "Is arn:aws:s3:::b/* meant?" in lint(text % ("s3:GetObject", "arn:aws:s3:::b"))[0].text
    assert "Is arn:aws:s3:::b meant?" in lint(text % ("s3:ListBucket", "arn:aws:s3:::b/*"))[0].text


def get_object(**more):
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **more}


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        (get_object(Condition={"StringEquals": {"aws:SourceIp": "10.0.0.0/8"}}), "wrong-operator", "Is IpAddress meant?"),
        (get_object(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.300"}}), "bad-value", "no address"),
        (get_object(Condition={"Bool": {"aws:SecureTransport": "yes"}}), "bad-value", 'Bool asks for "true" or "false"'),
        (get_object(Condition={"NumericLessThan": {"aws:MultiFactorAuthAge": "an hour"}}), "bad-value", "no number"),
        (get_object(Condition={"ArnLike": {"aws:PrincipalArn": "user/*"}}), "bad-value", "no ARN"),
        (
            get_object(Condition={"StringEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/*"}}),
            "wildcard-is-text",
            "StringLike",
        ),
        (get_object(Resource="arn:aws:s3:::b/${aws:user}"), "unknown-variable", "aws:userid"),
        ({**get_object(Action="sagemaker:InvokeEndpoint"), "Resource": "arn:aws:sagemaker:*:12345:endpoint/x"}, "bad-account", "12 digits"),
    ],
)
def test_values_that_are_never_found(statement, code, said):
    (found,) = lint(document(statement))
    assert found.code == code and said in found.text and found.statement == 1


def test_values_that_are_fine():
    condition = {
        "IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}, "Bool": {"aws:SecureTransport": True},
        "ForAnyValue:StringLike": {"aws:TagKeys": "te*"}, "ArnLikeIfExists": {"aws:SourceArn": "arn:aws:s3:::*"},
        "StringEquals": {"aws:PrincipalAccount": "${aws:PrincipalAccount}"},
    }  # fmt: skip
    found = [
        one.code
        for one in lint(document(get_object(Resource="arn:aws:s3:::b/${aws:PrincipalTag/team, 'none'}/${*}/*", Condition=condition)))
    ]
    assert [code for code in found if code != "condition-key-not-of-action"] == []


def test_what_iam_says_of_one_statement_is_told_there():
    (found,) = lint(json.dumps({"Version": "2012-10-17", "Statement": [get_object(), get_object(Resource="b/*")]}, indent=1))
    assert (found.statement, found.line > 4, found.text) == (2, True, 'Resource b/* must be in ARN format or "*".')
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Resource": "*"}
    (found,) = lint(document(trust))
    assert found.text == "Has prohibited field Resource"
