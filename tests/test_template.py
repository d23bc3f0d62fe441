"""What goes to AWS, read: the template and the zip of stage `prod` as `make package` makes them.

The embedded AWS leaves out much of what a template says (encryption, recovery, deletion
protection), so it is read here. SAM's own translator shows what AWS will make of it.
"""

import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from samtranslator.translator.transform import transform

import package
from chalicelib import policy
from package import Package

ROOT = Path(__file__).parent.parent
STAGE = "prod"

FUNCTIONS = {
    *("api_handler", "send_mail", "import_roster", "continue_import", "check_imports"),
    *("reset_lockouts", "record_mail_event", "send_digests"),
    *("find_guardian", "issue_activation_key", "revoke_activation_key"),
    *("unlock_account", "send_password_reset", "require_password_reset", "clear_mail_state"),
    *("disable_account", "enable_account", "delete_account", "end_sessions"),
    *("approve_import", "show_preferences", "set_preferences"),
    *("list_change_requests", "decide_change_request", "export_changes", "enrollment_report"),
}
TABLES = {
    *("activation-keys", "accounts", "recovery-counters", "sessions"),
    *("roster", "preferences", "requests", "audit"),
}
# Items that end by themselves lie in these.
DYING = {"activation-keys", "recovery-counters", "sessions", "requests"}
NEEDS_NO_SECRET = {
    *("import_roster", "check_imports", "approve_import", "show_preferences", "set_preferences"),
    *("reset_lockouts", "send_password_reset", "require_password_reset", "send_digests"),
    *("list_change_requests", "decide_change_request", "export_changes", "enrollment_report"),
}
# Of these AWS lets a policy name no resource (Service Authorization Reference).
NO_RESOURCE = {"ses:DeleteSuppressedDestination"}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return package.build(STAGE, out=tmp_path_factory.mktemp("package") / "prod")


@pytest.fixture(scope="session")
def template(made: Package) -> dict[str, Any]:
    return made.template


@pytest.fixture(scope="session")
def in_aws(made: Package) -> dict[str, Any]:
    """The resources after AWS's SAM transform."""
    copied = json.loads(json.dumps(made.template))
    for resource in copied["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": "deployment.zip"}
    no_managed_policies = SimpleNamespace(load=dict)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        resources: dict[str, Any] = transform(copied, {}, no_managed_policies)["Resources"]
    return resources


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: one for name, one in resources.items() if one["Type"] == kind}


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line an intrinsic function
    """Return a value as it is on stage prod: names filled in, references as `<LogicalId>`."""
    if isinstance(value, list):
        return [one for one in map(plain, value) if one != "<AWS::NoValue>"]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": "Stage"}:
            return STAGE
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::If": [condition, yes, no]}:
            assert condition == "InAws", "only InAws is known here"
            assert no is not yes
            return plain(yes)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", r"<\1>", text.replace("${Stage}", STAGE))
        case {"Fn::Sub": [text, names]}:
            return plain({"Fn::Sub": text}) + json.dumps(plain(names))
    return {key: plain(one) for key, one in value.items()}


def functions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the functions' properties by their contract name."""
    found = {}
    for one in of_type(template["Resources"], "AWS::Serverless::Function").values():
        properties = plain(one["Properties"])
        found[properties["FunctionName"].removeprefix(f"parent-portal-{STAGE}-")] = properties
    return found


def statements(template: dict[str, Any], function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's own role."""
    role = functions(template)[function]["Role"].strip("<>").removesuffix(".Arn")
    (policy,) = template["Resources"][role]["Properties"]["Policies"]
    found: list[dict[str, Any]] = plain(policy["PolicyDocument"]["Statement"])
    return found


# --- names ----------------------------------------------------------------------


def test_functions_bear_the_contracts_names(template):
    assert set(functions(template)) == FUNCTIONS


def test_bucket_topic_and_tables_bear_the_contracts_names(template):
    resources = template["Resources"]
    (bucket,) = of_type(resources, "AWS::S3::Bucket").values()
    topic = resources["AlarmTopic"]
    tables = of_type(resources, "AWS::DynamoDB::Table").values()
    assert plain(bucket["Properties"]["BucketName"]) == "parent-portal-prod-roster-<AWS::AccountId>"
    assert plain(topic["Properties"]["TopicName"]) == "parent-portal-prod-alarms"
    names = {plain(one["Properties"]["TableName"]) for one in tables}
    assert names == {f"parent-portal-prod-{name}" for name in TABLES}


def test_address_sender_and_alarm_address_are_asked_for_outside_local(template):
    parameters = template["Parameters"]
    assert {"PortalUrl", "MailFrom", "AlarmEmail", "DomainName", "CertificateArn"} < set(parameters)
    for name in ("PortalUrl", "MailFrom", "AlarmEmail"):
        assert "Default" not in parameters[name]
    assert parameters["DomainName"]["Default"] == parameters["CertificateArn"]["Default"] == ""


def test_a_package_is_for_its_stage_only(template):
    assert template["Parameters"]["Stage"]["AllowedValues"] == [STAGE]
    for properties in functions(template).values():
        assert properties["Environment"]["Variables"]["STAGE"] == STAGE
        assert properties["Runtime"] == "python3.12"


# --- S93: tables, queues, bucket, topic, domain ------------------------------------


def test_tables_are_encrypted_recoverable_and_kept(template):
    for table in of_type(template["Resources"], "AWS::DynamoDB::Table").values():
        properties = plain(table["Properties"])
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["SSESpecification"] == {"SSEEnabled": True}
        recovery = properties["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True}
        assert properties["DeletionProtectionEnabled"] is True
        assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_items_that_die_have_a_time_to_live(template):
    dying = set()
    for table in of_type(template["Resources"], "AWS::DynamoDB::Table").values():
        properties = plain(table["Properties"])
        if "TimeToLiveSpecification" in properties:
            expected = {"AttributeName": "purge_at", "Enabled": True}
            assert properties["TimeToLiveSpecification"] == expected
            dying.add(properties["TableName"].removeprefix(f"parent-portal-{STAGE}-"))
    assert dying == DYING


def test_each_queue_is_encrypted_and_what_fails_is_kept_for_14_days(template):
    queues = of_type(template["Resources"], "AWS::SQS::Queue")
    assert set(queues) == {
        *("MailQueue", "MailDeadLetters", "ImportQueue", "ImportDeadLetters"),
        *("UploadDeadLetters", "MailEventDeadLetters"),
    }
    for name, queue in queues.items():
        properties = plain(queue["Properties"])
        assert properties["SqsManagedSseEnabled"] is True
        if name.endswith("DeadLetters"):
            assert properties["MessageRetentionPeriod"] == 14 * 86400
        else:
            assert properties["RedrivePolicy"] == {
                "deadLetterTargetArn": f"<{name.removesuffix('Queue')}DeadLetters.Arn>",
                "maxReceiveCount": 1 + len(policy.MAIL_RETRY_SECONDS) if name == "MailQueue" else 5,
            }


@pytest.mark.parametrize(
    ("function", "queue"), [("send_mail", "MailQueue"), ("continue_import", "ImportQueue")]
)
def test_a_message_stays_out_of_sight_for_six_timeouts(template, function, queue):
    visible = template["Resources"][queue]["Properties"]["VisibilityTimeout"]
    assert visible >= 6 * functions(template)[function]["Timeout"]


def test_the_bucket_is_private_tls_only_versioned_and_encrypted(template):
    bucket = template["Resources"]["RosterBucket"]
    properties = plain(bucket["Properties"])
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["DeletionPolicy"] == "Retain"
    policy = template["Resources"]["RosterBucketPolicy"]["Properties"]["PolicyDocument"]
    (statement,) = plain(policy["Statement"])
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["<RosterBucket.Arn>", "<RosterBucket.Arn>/*"]


def test_no_version_of_an_upload_outlives_its_time(template):
    rules = template["Resources"]["RosterBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    days = {
        rule["Prefix"]: (
            rule.get("ExpirationInDays"),
            rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        )
        for rule in rules
        if rule["Status"] == "Enabled"
    }
    assert days == {
        "imports/": (30, 30),
        "reports/": (400, 30),
        "state/": (None, 1),
        "in-progress/": (14, 1),
        "exports/": (7, 1),
        "": (None, None),
    }
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)


def test_topics_are_encrypted_with_a_key_that_cloudwatch_and_ses_may_use(template):
    topics = of_type(template["Resources"], "AWS::SNS::Topic")
    assert set(topics) == {"AlarmTopic", "MailEvents"}
    for topic in topics.values():
        assert topic["Properties"]["KmsMasterKeyId"] == {"Ref": "TopicKey"}
    key = template["Resources"]["TopicKey"]["Properties"]
    assert key["EnableKeyRotation"] is True
    users = {one["Principal"].get("Service") for one in key["KeyPolicy"]["Statement"]}
    assert users == {None, "cloudwatch.amazonaws.com", "ses.amazonaws.com"}


def test_a_domain_of_the_district_speaks_tls_1_2_or_newer(template):
    domain = plain(template["Resources"]["PortalDomain"]["Properties"])
    assert domain["SecurityPolicy"] == "TLS_1_2"
    assert domain["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert template["Resources"]["RestAPI"]["Properties"]["EndpointConfiguration"] in (
        "REGIONAL",
        {"Type": "REGIONAL"},
    )


# --- S81, S83, S85: who may do what --------------------------------------------------


def test_each_function_has_a_role_of_its_own(template):
    roles = [properties["Role"] for properties in functions(template).values()]
    assert len(set(roles)) == len(FUNCTIONS)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_may_do_named_things_to_named_things(template, function):
    for statement in statements(template, function):
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotResource"} & set(statement)
        for action in statement["Action"]:
            assert re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9]+", action), action
        if set(statement["Action"]) <= NO_RESOURCE:
            assert statement["Resource"] == ["*"]
            continue
        for resource in statement["Resource"]:
            # A `*` may stand at the end only: a prefix of objects, the streams of a log group.
            assert re.fullmatch(r"[^*]{12,}(/|:)\*|[^*]+", resource), resource


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_writes_to_its_own_log_group_only(template, function):
    (logs,) = (s for s in statements(template, function) if "logs:PutLogEvents" in s["Action"])
    (resource,) = logs["Resource"]
    assert resource.endswith(f":log-group:/aws/lambda/parent-portal-prod-{function}:*")


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_the_audit_log_can_only_be_added_to(template, function):
    for statement in statements(template, function):
        if any("AuditTable" in resource for resource in statement["Resource"]):
            assert statement["Action"] == ["dynamodb:PutItem"]
        assert not any("PartiQL" in action for action in statement["Action"])


def test_only_functions_that_hash_may_read_the_hashing_secret(template):
    readers = {
        function
        for function in FUNCTIONS
        if any(
            "secretsmanager:GetSecretValue" in one["Action"]
            for one in statements(template, function)
        )
    }
    assert not readers & NEEDS_NO_SECRET
    secret = template["Resources"]["HashSecret"]
    assert secret["Properties"]["GenerateSecretString"]["PasswordLength"] == 64
    assert "SecretString" not in secret["Properties"]
    assert secret["DeletionPolicy"] == "Retain"


def test_no_function_has_an_address_of_its_own(template, in_aws):
    assert not of_type(in_aws, "AWS::Lambda::Url")
    for properties in functions(template).values():
        assert "FunctionUrlConfig" not in properties


# --- S96: each worker has one caller -----------------------------------------------


def test_functions_are_called_by_their_own_api_rule_and_schedule_only(in_aws):
    allowed = {}
    for permission in of_type(in_aws, "AWS::Lambda::Permission").values():
        properties = plain(permission["Properties"])
        assert properties["SourceArn"], "whoever calls is named"
        allowed.setdefault(properties["FunctionName"], set()).add(properties["Principal"])
    assert allowed == {
        "<APIHandler>": {"apigateway.amazonaws.com"},
        "<ImportRoster>": {"events.amazonaws.com"},
        "<CheckImports>": {"events.amazonaws.com"},
        "<ResetLockouts>": {"events.amazonaws.com"},
        "<SendDigests>": {"events.amazonaws.com"},
        "<RecordMailEvent>": {"sns.amazonaws.com"},
    }


def test_queues_of_this_stage_feed_the_workers(in_aws):
    fed = {}
    for mapping in of_type(in_aws, "AWS::Lambda::EventSourceMapping").values():
        properties = plain(mapping["Properties"])
        fed[properties["FunctionName"]] = properties["EventSourceArn"].rsplit(":", 1)[-1]
    assert fed == {
        "<SendMail>": "parent-portal-prod-mail",
        "<ContinueImport>": "parent-portal-prod-imports",
    }


def test_one_bad_mail_doesnt_send_the_others_again(in_aws):
    mappings = of_type(in_aws, "AWS::Lambda::EventSourceMapping").values()
    (mail,) = (m for m in mappings if m["Properties"]["FunctionName"] == {"Ref": "SendMail"})
    assert mail["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_only_uploads_into_our_bucket_start_an_import(in_aws):
    rules = [plain(one["Properties"]) for one in of_type(in_aws, "AWS::Events::Rule").values()]
    (uploads,) = (rule for rule in rules if "EventPattern" in rule)
    assert uploads["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["<RosterBucket>"]},
            "object": {"key": [{"prefix": "imports/"}]},
        },
    }
    (target,) = uploads["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": "<UploadDeadLetters.Arn>"}
    assert in_aws["ImportRoster"]["Properties"]["DeadLetterConfig"]["TargetArn"] == {
        "Fn::GetAtt": ["UploadDeadLetters", "Arn"]
    }


# --- S96: what becomes of mails -------------------------------------------------------


def test_every_mail_is_sent_with_the_set_of_its_stage(template):
    named = plain(template["Resources"]["MailConfigurationSet"]["Properties"])
    assert named["Name"] == "parent-portal-prod"
    assert named["SuppressionOptions"] == {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}
    assert "TrackingOptions" not in named
    variables = plain(template["Globals"]["Function"]["Environment"]["Variables"])
    assert variables["MAIL_CONFIGURATION_SET"] == "<MailConfigurationSet>"


def test_ses_tells_of_deliveries_bounces_and_complaints_and_watches_no_reader(template):
    told = plain(template["Resources"]["MailEventDestination"]["Properties"])
    assert told["ConfigurationSetName"] == "<MailConfigurationSet>"
    event = told["EventDestination"]
    assert event["Enabled"] is True
    assert set(event["MatchingEventTypes"]) == {"delivery", "bounce", "complaint"}
    assert event["SnsDestination"] == {"TopicARN": "<MailEvents>"}


def test_only_ses_of_this_account_and_set_may_publish_mail_events(template):
    policy = plain(template["Resources"]["MailEventsPolicy"]["Properties"])
    assert policy["Topics"] == ["<MailEvents>"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ses.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"
    conditions = statement["Condition"]["StringEquals"]
    assert conditions["aws:SourceAccount"] == "<AWS::AccountId>"
    assert conditions["aws:SourceArn"].endswith(
        ":<AWS::AccountId>:configuration-set/parent-portal-prod"
    )


def test_only_the_topic_of_this_stage_calls_record_mail_event(in_aws):
    permissions = of_type(in_aws, "AWS::Lambda::Permission").values()
    (allowed,) = (p for p in permissions if p["Properties"]["Principal"] == "sns.amazonaws.com")
    assert plain(allowed["Properties"]["SourceArn"]) == "<MailEvents>"
    subscriptions = of_type(in_aws, "AWS::SNS::Subscription").values()
    (subscribed,) = (
        plain(one["Properties"])
        for one in subscriptions
        if one["Properties"]["Protocol"] != "email"
    )
    assert (subscribed["Protocol"], subscribed["TopicArn"]) == ("lambda", "<MailEvents>")
    assert subscribed["Endpoint"] == "<RecordMailEvent.Arn>"


def test_a_mail_event_that_fails_is_kept(in_aws):
    kept = "<MailEventDeadLetters.Arn>"
    function = plain(in_aws["RecordMailEvent"]["Properties"])
    assert function["DeadLetterConfig"]["TargetArn"] == kept
    subscriptions = of_type(in_aws, "AWS::SNS::Subscription").values()
    (subscribed,) = (
        plain(one["Properties"])
        for one in subscriptions
        if one["Properties"]["Protocol"] != "email"
    )
    assert subscribed["RedrivePolicy"] == {"deadLetterTargetArn": kept}
    policy = plain(in_aws["MailEventDeadLettersPolicy"]["Properties"])
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": "<MailEvents>"}}


# --- lockouts ---------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["AccountsTable", "RecoveryCountersTable"])
def test_locked_items_are_found_by_an_index_that_holds_no_others(template, table):
    properties = template["Resources"][table]["Properties"]
    (index,) = (i for i in properties["GlobalSecondaryIndexes"] if i["IndexName"] == "by-lock")
    assert index["KeySchema"] == [{"AttributeName": "lock_bucket", "KeyType": "HASH"}]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_lockouts_are_reset_every_hour_without_reading_a_table(template, in_aws):
    rules = [plain(one["Properties"]) for one in of_type(in_aws, "AWS::Events::Rule").values()]
    (rule,) = (r for r in rules if r["Targets"][0]["Arn"] == "<ResetLockouts.Arn>")
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    assert functions(template)["reset_lockouts"]["Timeout"] == 300
    may = {
        (action, resource)
        for one in statements(template, "reset_lockouts")
        for action in one["Action"]
        for resource in one["Resource"]
        if action.startswith("dynamodb:")
    }
    assert may == {
        ("dynamodb:UpdateItem", "<AccountsTable.Arn>"),
        ("dynamodb:UpdateItem", "<RecoveryCountersTable.Arn>"),
        ("dynamodb:Query", "<AccountsTable.Arn>/index/by-lock"),
        ("dynamodb:Query", "<RecoveryCountersTable.Arn>/index/by-lock"),
    }


# --- logs and alarms -----------------------------------------------------------------


def test_each_function_has_a_log_group_that_forgets(template):
    groups = {
        plain(one["Properties"]["LogGroupName"]): one["Properties"]["RetentionInDays"]
        for one in of_type(template["Resources"], "AWS::Logs::LogGroup").values()
    }
    assert groups == {f"/aws/lambda/parent-portal-prod-{name}": 90 for name in FUNCTIONS}
    for name, properties in functions(template).items():
        group = properties["LoggingConfig"]["LogGroup"].strip("<>")
        logged = template["Resources"][group]["Properties"]["LogGroupName"]
        assert plain(logged) == f"/aws/lambda/parent-portal-prod-{name}"


def alarms(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for one in of_type(template["Resources"], "AWS::CloudWatch::Alarm").values():
        properties = plain(one["Properties"])
        found[properties["AlarmName"].removeprefix(f"parent-portal-{STAGE}-")] = properties
    return found


def test_what_somebody_must_know_of_raises_an_alarm(template):
    expected = {f"{function}-errors" for function in FUNCTIONS} | set(package.ALARM_EVENTS)
    expected |= {"mail-dead-letters", "imports-dead-letters", "uploads-dead-letters"}
    expected |= {"mail-events-dead-letters", "mail-slow", "portal-failures"}
    found = alarms(template)
    assert set(found) == expected
    for alarm in found.values():
        assert alarm["AlarmActions"] == ["<AlarmTopic>"]
        assert alarm["AlarmDescription"]
    mail = template["Resources"]["AlarmMail"]
    assert mail["Properties"]["TopicArn"] == {"Ref": "AlarmTopic"}
    assert mail["Properties"]["Endpoint"] == {"Ref": "AlarmEmail"}


def test_events_of_every_function_reach_the_alarms(template):
    filters = of_type(template["Resources"], "AWS::Logs::MetricFilter").values()
    assert len(filters) == len(FUNCTIONS)
    for one in filters:
        properties = plain(one["Properties"])
        (metric,) = properties["MetricTransformations"]
        assert metric["MetricNamespace"] == "parent-portal-prod"
        assert metric["Dimensions"] == [{"Key": "event", "Value": "$.event"}]
        assert set(re.findall(r'"([a-z-]+)"', properties["FilterPattern"])) == set(
            package.ALARM_EVENTS
        )
    for event in package.ALARM_EVENTS:
        alarm = alarms(template)[event]
        assert (alarm["Namespace"], alarm["MetricName"]) == ("parent-portal-prod", "events")
        assert alarm["Dimensions"] == [{"Name": "event", "Value": event}]


@pytest.mark.parametrize("event", sorted(package.ALARM_EVENTS))
def test_an_alarm_waits_for_an_event_that_is_logged(event):
    code = "".join(path.read_text() for path in (ROOT / "chalicelib").rglob("*.py"))
    assert f'"{event}"' in code


# --- S45, S57: the gateway ---------------------------------------------------------------


def test_the_gateway_logs_no_query_and_no_body(template, in_aws):
    api = template["Resources"]["RestAPI"]["Properties"]
    assert "AccessLogSetting" not in api
    assert not api.get("TracingEnabled")
    (settings,) = api["MethodSettings"]
    assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("OFF", False)
    (stage,) = of_type(in_aws, "AWS::ApiGateway::Stage").values()
    assert "AccessLogSetting" not in stage["Properties"]
    for properties in functions(template).values():
        assert properties["Tracing"] == "PassThrough"


def test_answers_of_the_gateway_itself_carry_our_headers(in_aws):
    (api,) = of_type(in_aws, "AWS::ApiGateway::RestApi").values()
    answers = api["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "MISSING_AUTHENTICATION_TOKEN"} <= set(answers)
    for answer in answers.values():
        headers = {
            name.removeprefix("gatewayresponse.header."): value
            for name, value in answer["responseParameters"].items()
        }
        assert headers["Strict-Transport-Security"] == "'max-age=31536000; includeSubDomains'"
        assert headers["X-Content-Type-Options"] == "'nosniff'"
        assert headers["Referrer-Policy"] == "'strict-origin'"
        assert headers["Cache-Control"] == "'no-store'"
        assert {"Content-Security-Policy", "Permissions-Policy"} <= set(headers)
        body = json.loads(answer["responseTemplates"]["application/json"])
        assert set(body) == {"type", "title", "status"}
    assert answers["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == "404"


def test_answers_are_compressed(template):
    assert template["Resources"]["RestAPI"]["Properties"]["MinimumCompressionSize"] == 860


# --- S92, S98: what is in the zip, and what isn't -----------------------------------------


@pytest.fixture(scope="session")
def names(made: Package) -> list[str]:
    with zipfile.ZipFile(made.zip_path) as archive:
        return archive.namelist()


def test_the_zip_holds_the_app_and_the_pinned_libraries_only(names):
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    modules = {name.replace("-", "_") for name in pinned}
    modules |= {"dateutil", "_argon2_cffi_bindings", "argon2", "_cffi_backend", "six"}
    for name in names:
        top = re.split(r"[/.]", name)[0]
        top = re.sub(r"-[0-9].*", "", top)
        assert top in {"app", "chalice", "chalicelib"} | modules, name


def test_the_bill_of_materials_is_what_is_pinned_and_what_is_in_the_zip(made, names):
    listed = {one["name"]: one["version"] for one in made.sbom["components"]}
    assert listed.pop("chalice")
    text = (ROOT / "requirements.txt").read_text()
    assert listed == dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;\\]+)", text))
    installed = {name.split("/")[0] for name in names if ".dist-info/" in name}
    folders = {name.rsplit(".dist-info", 1)[0].replace("_", "-").lower() for name in installed}
    assert folders == {f"{name}-{version}" for name, version in listed.items()}
    assert json.loads((made.template_path.parent / "sbom.json").read_text()) == made.sbom


def test_the_zip_holds_no_tests_caches_or_sample_data(names):
    unwanted = re.compile(
        r"(^|/)(tests?|__pycache__|\.git|\.local|\.chalice|examples)/|\.pyc$|sample_district|local\.py$"
    )
    ours = [name for name in names if name != "chalice/local.py"]
    assert [name for name in ours if unwanted.search(name)] == []
    assert len(names) == len(set(names))


def test_the_zip_holds_pages_mails_words_and_static_files(names):
    for file in (ROOT / "chalicelib").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert str(file.relative_to(ROOT)) in names


def test_the_zip_holds_the_description_of_each_aws_service_in_use(names):
    code = "".join(path.read_text() for path in (ROOT / "chalicelib").rglob("*.py"))
    used = set(re.findall(r'boto3\.client\(\s*"([a-z0-9]+)"', code)) | {"dynamodb"}
    there = {name.split("/")[2] for name in names if name.startswith("botocore/data/")}
    assert used <= there
    assert used <= set(package.SERVICES)


def test_native_parts_are_for_the_python_of_aws(names):
    native = [name for name in names if name.endswith(".so")]
    assert native
    for name in native:
        assert re.search(r"cpython-312-x86_64-linux-gnu|\.abi3\.so$", name), name


def test_nothing_of_the_local_stack_is_deployed(made):
    text = json.dumps(made.template)
    for word in ("CLOCK_FILE", "portal.localhost", "district.example"):
        assert word not in text


# --- digests ------------------------------------------------------------------------------


def test_digests_are_queued_on_every_full_hour_without_reading_all_accounts(template, in_aws):
    rules = [plain(one["Properties"]) for one in of_type(in_aws, "AWS::Events::Rule").values()]
    (rule,) = (r for r in rules if r["Targets"][0]["Arn"] == "<SendDigests.Arn>")
    # On the hour: a rate begins at the minute of the deployment, which may be anybody's quiet hour.
    assert rule["ScheduleExpression"] == "cron(0 * * * ? *)"
    may = {
        (action, resource)
        for one in statements(template, "send_digests")
        for action in one["Action"]
        for resource in one["Resource"]
        if action.startswith(("dynamodb:", "ses:"))
    }
    assert may == {
        ("dynamodb:Query", "<AccountsTable.Arn>/index/by-digest"),
        ("dynamodb:GetItem", "<RecoveryCountersTable.Arn>"),
        ("dynamodb:PutItem", "<RecoveryCountersTable.Arn>"),
        ("dynamodb:Scan", "<PreferencesTable.Arn>"),
    }
    indexes = template["Resources"]["AccountsTable"]["Properties"]["GlobalSecondaryIndexes"]
    (index,) = (one for one in indexes if one["IndexName"] == "by-digest")
    assert index["KeySchema"][0] == {"AttributeName": "digest_hour", "KeyType": "HASH"}
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
