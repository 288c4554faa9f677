//! Examples of every command, and what each writes with `--format json`; `help` puts them under the commands' own help.

/// A command's examples and its JSON.
pub(super) struct Entry {
    /// Its words, as `slo list`.
    pub(super) command: &'static str,
    /// Lines to copy.
    pub(super) examples: &'static [&'static str],
    /// What it writes with `--format json`.
    pub(super) json: &'static str,
}

const fn entry(command: &'static str, examples: &'static [&'static str], json: &'static str) -> Entry {
    Entry { command, examples, json }
}

/// Nothing changes with the format.
const SAME: &str = "the same text";

/// Every command that does something.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "demo",
        &["mainstay demo", "mainstay demo --once --dir results", "mainstay demo --once --format json > demo.json"],
        "at the end, {schema, passed, criteria: [{name, held, measured}], duration_seconds, models, phases, levels, slos, timeline, ...}",
    ),
    entry(
        "init",
        &["mainstay init", "mainstay init --system fraud-detection --config fraud/mainstay.yaml"],
        "{schema, written, data}: the config's path, and those of its data files",
    ),
    entry(
        "check",
        &["mainstay check", "mainstay check changed.yaml --format json"],
        "{schema, file, errors, warnings, findings: [{code, message, ...}], scenarios}",
    ),
    entry(
        "serve",
        &[
            "mainstay serve",
            "mainstay serve --config shop.yaml --log info,mainstay_gateway=debug",
            "kill -HUP $PID    # reads the config again",
        ],
        "one line once it serves: {schema, listen, admin}; logs go to stderr",
    ),
    entry(
        "status",
        &["mainstay status", "mainstay status --format json | jq '.routes[].level'", "mainstay status --ready"],
        "the answer of GET /api/v1/status; with --ready {schema, ready, why}",
    ),
    entry(
        "top",
        &[
            "mainstay top",
            "mainstay top --url http://10.0.0.5:8090",
            "mainstay top --format json | jq --unbuffered '.traffic[].p99'",
        ],
        "a line every two seconds, {schema, at, status, traffic: [{route, requests_per_second, shed_per_second, p50, p99}], slos, incidents, runs, gamedays}, \
         or {schema, at, lost} where nobody answers",
    ),
    entry(
        "level pin",
        &["mainstay level pin score 2 --for 30m --reason 'the new model is slow'"],
        "the answer of PUT /api/v1/levels/ROUTE: {route, level, name, reason, pin}",
    ),
    entry("level auto", &["mainstay level auto score"], "null"),
    entry(
        "runs list",
        &["mainstay runs list", "mainstay runs list --name fraud --state failed"],
        "the answer of GET /api/v1/runs: {runs: [...]}",
    ),
    entry("runs show", &["mainstay runs show RUN-1 --plot loss.svg"], "the answer of GET /api/v1/runs/ID"),
    entry(
        "models list",
        &["mainstay models list", "mainstay models list fraud"],
        "a list, the `models` of GET /api/v1/models: [{name, champion, versions, ...}]",
    ),
    entry(
        "models promote",
        &[
            "mainstay models promote fraud 4 --expect 3",
            "mainstay models promote fraud 4 --force --reason 'the gate was wrong'",
        ],
        "the answer of POST /api/v1/models/MODEL/promote, with `model` and `champion`",
    ),
    entry(
        "models rollback",
        &["mainstay models rollback fraud", "mainstay models rollback fraud --to 2"],
        "the answer of POST /api/v1/models/MODEL/rollback, with `model` and `champion`",
    ),
    entry(
        "review list",
        &["mainstay review list --state waiting"],
        "the answer of GET /api/v1/reviews: {reviews: [...]}",
    ),
    entry(
        "review claim",
        &["mainstay review claim --by ana", "mainstay review claim 17 --by ana --lease 5m"],
        "the request that was taken, with its id and state",
    ),
    entry(
        "review decide",
        &["mainstay review decide 17 allow --by ana --note 'known customer'"],
        "the request that was decided",
    ),
    entry("slo list", &["mainstay slo list"], "the answer of GET /api/v1/slos: {slos: [...]}"),
    entry(
        "slo show",
        &["mainstay slo show fraud_availability"],
        "the answer of GET /api/v1/slos/NAME: budget, burn, forecast, alerts, ...",
    ),
    entry(
        "slo export",
        &[
            "mainstay slo export --prometheus --out rules.yml",
            "mainstay slo export --grafana --out dashboard.json",
            "mainstay slo export --openslo > objectives.yaml",
        ],
        SAME,
    ),
    entry(
        "slo import",
        &["mainstay slo import objectives.yaml", "mainstay slo import objectives.yaml --check >> slos.yaml"],
        "the answer of POST /api/v1/slos/import; with --check {schema, file, errors, warnings, findings, items, objectives}",
    ),
    entry("slo correction list", &["mainstay slo correction list"], "the answer of GET /api/v1/corrections"),
    entry(
        "slo correction add",
        &[
            "mainstay slo correction add load-test --from 2026-03-01T12:00:00Z --to 2026-03-01T13:00:00Z --reason 'a load test'",
        ],
        "the answer of POST /api/v1/corrections",
    ),
    entry("slo correction remove", &["mainstay slo correction remove load-test"], "nothing"),
    entry("slo maintenance list", &["mainstay slo maintenance list"], "the answer of GET /api/v1/maintenance"),
    entry(
        "slo maintenance add",
        &[
            "mainstay slo maintenance add reindex --from 02:30 --length 90m --day sunday --zone Europe/Berlin --reason 'the index is rebuilt'",
        ],
        "the answer of POST /api/v1/maintenance",
    ),
    entry("slo maintenance end", &["mainstay slo maintenance end reindex"], "nothing"),
    entry(
        "drift check",
        &[
            "mainstay drift check training.parquet today.parquet",
            "mainstay drift check a.csv b.csv --column amount --method psi --html drift.html",
        ],
        "{columns: {NAME: {status, n_reference, n_current, exact, methods: {METHOD: {value, p_value, drifted}}}}}",
    ),
    entry(
        "drift baseline",
        &["mainstay drift baseline amount training.parquet --column amount"],
        "nothing; with --out - the reference",
    ),
    entry(
        "drift status",
        &["mainstay drift status", "mainstay drift status amount"],
        "the answer of GET /api/v1/drift, or of its one name",
    ),
    entry(
        "quality report",
        &["mainstay quality report", "mainstay quality report --window 7d"],
        "the answer of GET /api/v1/quality: {routes, labels, ...}",
    ),
    entry(
        "incident list",
        &["mainstay incident list --status open", "mainstay incident list --severity sev1 --route score"],
        "the answer of GET /api/v1/incidents: {incidents: [...]}",
    ),
    entry(
        "incident show",
        &["mainstay incident show AI-20260301-0001", "mainstay incident show AI-20260301-0001 --all"],
        "the answer of GET /api/v1/incidents/ID: {incident, proposals, notices}",
    ),
    entry("incident open", &["mainstay incident open 'answers are odd' --severity sev2 --route score"], "the incident"),
    entry("incident ack", &["mainstay incident ack AI-20260301-0001"], "the incident"),
    entry("incident note", &["mainstay incident note AI-20260301-0001 'the feed changed at noon'"], "the incident"),
    entry(
        "incident status",
        &[
            "mainstay incident status AI-20260301-0001 mitigating",
            "mainstay incident status AI-20260301-0002 --into AI-20260301-0001 --reason 'the same outage'",
        ],
        "the incident",
    ),
    entry(
        "incident action",
        &[
            "mainstay incident action AI-20260301-0001 pin_level --route score --level 2 --for 30m",
            "mainstay incident action AI-20260301-0001 previous_model --model fraud",
        ],
        "the incident, with the action",
    ),
    entry("incident undo", &["mainstay incident undo AI-20260301-0001 1"], "nothing"),
    entry(
        "incident review",
        &[
            "mainstay incident review AI-20260301-0001",
            "mainstay incident review AI-20260301-0001 --as html --output review.html",
        ],
        "the answer of GET /api/v1/incidents/ID/review?format=json, unless --as says otherwise",
    ),
    entry(
        "incident write",
        &[
            "mainstay incident write AI-20260301-0001 --root-cause 'a unit changed' --item 'check the schema' --owner bo --purpose prevent",
        ],
        "the incident, with its review",
    ),
    entry(
        "incident metrics",
        &["mainstay incident metrics --window 90d"],
        "the answer of GET /api/v1/incidents/metrics",
    ),
    entry(
        "incident silence",
        &["mainstay incident silence --route score --for 1h --reason 'it is being moved'"],
        "the silence, with its id",
    ),
    entry(
        "incident silences",
        &["mainstay incident silences"],
        "the answer of GET /api/v1/silences: {silences: [...]}",
    ),
    entry("incident unsilence", &["mainstay incident unsilence SIL-1"], "nothing"),
    entry("chaos list", &["mainstay chaos list", "mainstay chaos list --route score"], "{halt, experiments, runs}"),
    entry(
        "chaos plan",
        &["mainstay chaos plan score-feature-store-latency"],
        "the plan: the experiment, its hash, refusals, the least effect that is seen",
    ),
    entry("chaos approve", &["mainstay chaos approve experiment.yaml --plan 3f9a0c"], "the approval"),
    entry(
        "chaos run",
        &["mainstay chaos run score-feature-store-latency", "mainstay chaos run experiment.yaml --detach --yes"],
        "the run, with its assessment",
    ),
    entry("chaos stop", &["mainstay chaos stop EXP-2026-0001"], "the run"),
    entry("chaos halt", &["mainstay chaos halt --reason 'the shop is on television'"], "the halt"),
    entry("chaos resume", &["mainstay chaos resume --reason 'all is calm'"], "nothing"),
    entry("chaos report", &["mainstay chaos report EXP-2026-0001 > report.md"], "all that is known of the run"),
    entry(
        "chaos export",
        &[
            "mainstay chaos export --chaostoolkit score-primary-model-failure --out experiment.json",
            "MAINSTAY_AUTHORIZATION=\"Bearer $TOKEN\" chaos run experiment.json",
        ],
        SAME,
    ),
    entry(
        "chaos import",
        &["mainstay chaos import toolkit.json --out experiment.yaml"],
        "the same text; where it is refused {findings}",
    ),
    entry("gameday list", &["mainstay gameday list"], "the answer of GET /api/v1/gamedays: {gamedays, scenarios}"),
    entry("gameday findings", &["mainstay gameday findings", "mainstay gameday findings --all"], "{findings: [...]}"),
    entry(
        "gameday tabletop",
        &[
            "mainstay gameday tabletop store-outage.md --out guide.md",
            "mainstay gameday tabletop store-outage.md --answer 'day=the pager of bo is off'",
        ],
        "the guide as it is; with answers the record of the game day",
    ),
    entry(
        "gameday rehearse",
        &[
            "mainstay gameday rehearse store-outage.md",
            "mainstay gameday rehearse store-outage.md --servers 8 --time 120ms --rate 50/s --classes 5,15,50,30",
        ],
        "{passed, steps: [{name, cannot, facts, results, transcript}], results}",
    ),
    entry("gameday run", &["mainstay gameday run store-outage.md --yes"], "the record of the game day, with `passed`"),
    entry("gameday stop", &["mainstay gameday stop GD-2026-0001 --reason 'enough was seen'"], "the game day"),
    entry(
        "gameday report",
        &["mainstay gameday report GD-2026-0001 --as html --out report.html"],
        "the report as JSON, unless --as says otherwise",
    ),
    entry(
        "simulate",
        &[
            "mainstay simulate docs/drills/a3-brown-out.md",
            "mainstay simulate outage.md --seeds 100",
            "mainstay simulate outage.md --plot outage.html",
            "mainstay simulate --replay requests.jsonl --config changed.yaml",
        ],
        "{drill, seed, passed, requests, length_s, transcript, verdicts, curves}; with --seeds {drill, seeds, passed, commit, failed}; of several drills a list; \
         with --replay {recorded, length_s, replicas, routes, objectives, notes}",
    ),
    entry(
        "runbook",
        &["mainstay runbook", "mainstay runbook serving_latency"],
        "the answer of GET /api/v1/runbooks, or of its one type",
    ),
    entry(
        "oncall who",
        &["mainstay oncall who", "mainstay oncall who --at 2026-03-01T12:00:00Z"],
        "the answer of GET /api/v1/oncall: {schedules: [...]}",
    ),
    entry(
        "oncall schedule",
        &["mainstay oncall schedule primary"],
        "the answer of GET /api/v1/oncall/SCHEDULE, as a list where all are asked for",
    ),
    entry(
        "oncall override",
        &["mainstay oncall override primary bo --from 2026-03-01T12:00:00Z --until 2026-03-02T12:00:00Z"],
        "the override, with its id",
    ),
    entry(
        "oncall overrides",
        &["mainstay oncall overrides"],
        "the answer of GET /api/v1/overrides: {overrides: [...]}",
    ),
    entry("oncall unoverride", &["mainstay oncall unoverride OVR-1"], "nothing"),
    entry(
        "train",
        &[
            "mainstay train -- python train.py",
            "mainstay train --name fraud --checkpoint-every 500 --limit memory=8GiB --gate 'metrics.auc > 0.9' -- python train.py",
        ],
        "the summary of the run: its state, why, steps, attempts, goodput and metrics",
    ),
    entry(
        "wall",
        &[
            "mainstay wall                            # play on a free port, and say which",
            "mainstay wall --listen 127.0.0.1:9100    # several --listen are several upstreams with counts of their own",
            "mainstay wall --list",
            "curl -N http://127.0.0.1:9100/v1/chat/completions -d '{\"model\":\"s08\",\"stream\":true,\"messages\":[]}'",
            "curl http://127.0.0.1:9100/wall/attempts    # who asked how often, and when",
        ],
        "one line once it plays: {schema, listen}; with --list {schema, models: [{name, about}]}",
    ),
    entry("explain", &["mainstay explain E0101"], "{schema, code, text}"),
    entry("schema config", &["mainstay schema config > mainstay.schema.json"], "the same JSON Schema"),
    entry(
        "completions",
        &[
            "mainstay completions bash > ~/.local/share/bash-completion/completions/mainstay",
            "mainstay completions zsh > ~/.zfunc/_mainstay",
            "mainstay completions fish > ~/.config/fish/completions/mainstay.fish",
        ],
        SAME,
    ),
    entry(
        "version",
        &["mainstay version", "mainstay --version"],
        "{schema, name, version, commit, committed}; null: not known",
    ),
];
