//! Finding codes: stable names, and a longer text for each.

use std::fmt;

use crate::finding::Severity;

macro_rules! codes {
    ($( $variant:ident = $code:literal: $about:literal; )*) => {
        /// Which kind of finding. `E` codes refuse a config, `W` codes do not.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Code {
            $( #[doc = $about] $variant, )*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code as it is shown, such as `E0104`.
            pub const fn as_str(self) -> &'static str {
                match self { $( Code::$variant => $code, )* }
            }

            /// A longer text: what it means and what to do.
            pub const fn about(self) -> &'static str {
                match self { $( Code::$variant => $about, )* }
            }
        }
    };
}

codes! {
    Syntax = "E0101": "The file is not YAML, or has no map at its top.\n\nThe place is where the reader gave up; the cause is often a little above: a missing quote or bracket, a tab, an indentation that does not line up.";
    TooLarge = "E0102": "The file is larger than a config can be: more than 4 MiB of text, nested more than 32 deep, or grown by aliases beyond 20,000 repeated values.\n\nThe bounds keep a file from using up memory or time.";
    DuplicateKey = "E0103": "A key is written twice in one map. YAML readers differ in which one they take; mainstay takes neither. Keep one.";
    UnknownKey = "E0104": "A key that nothing reads. It is an error since a misspelt key would otherwise silently leave a default in force.\n\nThe help names the nearest known key, or all keys that are known at that place.";
    WrongKind = "E0105": "A value of another kind than expected, such as a list where a map belongs.\n\nYAML reads bare `3` as a number and `true` as a flag; where text is meant, put it in quotes: `version: \"3\"`.";
    NoValue = "E0106": "A key without a value. Leave the key out to have its default.";
    MissingKey = "E0107": "A key that has no default is missing. The caret is at the map that lacks it.";
    UnknownWord = "E0108": "A word that is not one of those expected here.";
    Reserved = "W0109": "A section whose meaning comes with later versions. It is read and has no effect.";
    NotBuilt = "E0110": "Something that mainstay will have and this version does not. It is refused, so that nobody relies on it by mistake.";
    Duration = "E0201": "A duration is a number and a unit: `us`, `ms`, `s`, `m` (minutes), `h`, `d` or `w`, as in `200ms` or `1.5s`. A bare number would leave open what is meant.";
    Rate = "E0202": "A rate is a number per time: `500/s`, `30/m`, `10/h`.";
    Ratio = "E0203": "A ratio is written as a percentage: `99.9%`. A bare `99.9` or `0.999` is refused, since each is taken for the other too easily.";
    Size = "E0204": "A size is a number and a unit: `B`, `KiB`, `MiB`, `GiB` (powers of 1024), or `KB`, `MB`, `GB` (powers of 1000).";
    OutOfRange = "E0205": "A number outside the range that makes sense at this place.";
    Url = "E0206": "A base URL is `http://` or `https://`, a host, perhaps a port and a path. It has no query and no fragment: requests bring their own.";
    Pointer = "E0207": "A JSON pointer (RFC 6901) is a path of keys and indexes, each after a slash: `/outputs/0/data/0`. In a key, `~` is written `~0` and `/` is written `~1`.";
    Address = "E0208": "An address to listen on is an IP address and a port, `127.0.0.1:8080` or `[::]:8080`; a network is an address and a length, `10.0.0.0/8`; a mail server is a name and, where it is not the usual one, a port.";
    Path = "E0209": "A path starts with a slash. A route's path is exact, or a prefix that ends in `/*`.";
    Name = "E0210": "A name that cannot be used: names of services, backends, routes and clients appear in paths, headers and metrics, so they are 1 to 64 letters, digits, `_`, `-` or `.`; feature references are `view:feature`.";
    LiteralSecret = "E0211": "A secret in the file. Files are copied, shared and kept in version control, so a secret is given by reference: `env:NAME` reads an environment variable, `file:PATH` a file. The value never appears in a log, an error or a page; where findings show the file's lines, it is masked.";
    CelCompile = "E0212": "A CEL expression that does not compile, or that iterates over a map. The caret is at the place within the expression.\n\nThere are the variables `request`, `headers`, `features`, `route` and `client`, and the functions `header(\"x\")` and `feature(\"ref\", DEFAULT)`, which never fail.";
    CelIndex = "W0213": "A CEL expression that fails where a key is absent, as in `headers[\"x\"]`. A rule that fails does not match. `header(\"x\")` gives \"\" and `feature(\"ref\", DEFAULT)` its default.";
    Store = "E0214": "A store is `sqlite:PATH`, a file on this machine.";
    Zone = "E0215": "A time zone is named as in the IANA database, such as `Europe/Berlin` or `UTC`. The database is built in: a machine without one, or with an old one, changes nothing.";
    CivilTime = "E0217": "A day and a time of day are written as `2026-01-05T09:00`, without a zone: they are what the clocks of the zone that stands beside them show. A time that the clocks skip is as much later as they skip; one that comes twice is the first.";
    Turn = "E0218": "The length of a turn is a whole number and a unit: `h`, `d`, `w` or `mo` (months), as in `12h` or `1w`. It is counted by the clock on the wall: a day in which the clocks change has 23 or 25 hours.";
    Mailbox = "E0219": "A mail address is one name and one host, `ops@example.org`, in plain letters and without a name for people.";
    Clock = "E0216": "A time of day is written with two digits each, from `00:00` to `23:59`, by the clock of the zone that stands beside it.";
    Regex = "E0220": "A regular expression that does not compile, or that takes too much memory. The syntax is that of Rust's `regex`: without look-around and back-references, so that a search takes time in proportion to the text.";
    NoSuch = "E0301": "A name that refers to nothing: a misspelt one, or one that is not defined in this file.";
    Duplicate = "E0302": "Two things with one name, one path or one address: the second would never be found.";
    Empty = "E0303": "A list or map that needs at least one entry.";
    ExactlyOne = "E0304": "Several keys that exclude each other, or none of those of which one is needed.";
    Unused = "W0305": "Something that is defined and that no route uses, or by which nobody is told: often a misspelt name elsewhere.";
    UnknownFeature = "W0306": "An expression asks for a feature that is not fetched on this route, or not yet: it always sees the default.";
    Loop = "E0307": "Names that refer to each other in a circle, such as two channels that each fall back to the other. A notice would go round and reach nobody.";
    Unreached = "E0308": "Somebody who would be told by a channel that cannot reach them: mail needs an address, of the person or of the channel (`to`).";
    LevelOrder = "E0401": "The entries of a ladder stand in the order of their levels, 0 to 4. Several may share a level; they are tried in order.";
    LastEntry = "E0402": "The last entry of a ladder must be local and always answer, so that a request is answered when everything else fails: `respond`, `queue`, or `rules` with `otherwise`. Tables, rankings, keywords and counts read the request and files, and have no answer where those are not as expected.";
    AnswerShape = "E0403": "A local answer is written in the way of the route's protocol: `outputs` for open-inference, `text` for chats, completions and responses, `body` for http and for other paths of language models, such as embeddings. An output has a `name` and a `value`, or is a full tensor.";
    Untranslatable = "E0404": "A backend of a ladder does not understand what the route's callers speak. Chats of OpenAI's and Anthropic's protocols are translated to one another, where the route's path is one of theirs; everything else is passed on as it came, so that all backends must understand it.";
    IntoShape = "E0405": "Features go into a tensor for open-inference (`into: { input: features, datatype: FP64 }`), and to a JSON pointer otherwise (`into: /features`).";
    BeyondDeadline = "W0406": "A request has one deadline for all levels. A timeout or a wait that lies beyond it is cut off, and the levels after it may not get their time.";
    NoDefault = "W0407": "A feature without a default: a request for which the store and the cache have no value skips the levels that need it. That may be right; a default says that the model can do without.";
    Unreachable = "W0408": "A rule or an entry after one that always holds: it is never asked.";
    NoEffect = "W0409": "A key that does nothing at this place. The config means the same without it; often something else was meant.";
    NoPointer = "E0410": "A level asks for something in the request, and nothing says where it is. Name the place at the level, or once for all levels of the route: `request: { items: .., text: .., user: .., key: .. }`.";
    TableFormat = "E0411": "A table is a file whose name ends in `.csv`, `.jsonl` or `.parquet`: the ending says how it is read.";
    NoPlace = "E0412": "A place in an answer, `{ column: NAME }` or `{NAME}` in a text, that nothing fills. Keywords fill `keyword` and `label`, velocities `key` and `count`, queues `id`, rankings `items`, `ranking`, `scores` and `ranked_scores`; tables fill their columns.";
    BeginningOnly = "W0413": "A check that is inline can keep back a whole answer, a stream of a route with `after_commit: atomic`, and of any other stream only what is held at its beginning (`stream: { buffer }`). What comes later is looked at once it was shown: it is flagged then, and nobody is kept from seeing it.";
    Grpc = "E0414": "Over gRPC requests and answers are Protocol Buffers. The answers that need no look into a request are given there (`backend`, `rules` about headers and clients, `cache`, `respond`); whatever points into JSON is not: `features`, `table`, `rank`, `keywords`, `velocity`, `queue`, `prediction`, a `confidence` by pointer, CEL about `request`. Speak `open-inference` where these are needed.";
    Hedge = "E0415": "A second call beside a late one (`hedge`) where none can be made: it goes to another backend of the same level that gets the same features, or to another endpoint or key of the same backend, never to a worse level. Streams over gRPC go both ways and cannot be asked twice; requests over plain HTTP may have effects beyond their answer, so that the config has to say that they have none (`repeatable: true`).";
    NoText = "W0416": "A route for all paths below `/v1/` whose last level is a text. A text takes the place of a chat, a completion or a response; where embeddings are asked for nobody could read it, so that these have no last level and are answered 503 (`no level had an answer`, `x-should-retry: false`) once the backends fail. Give them a route of their own, with an answer in JSON or a `cache`.";
    OpenDataPlane = "E0501": "The data plane listens beyond this machine, a backend has keys, and nobody needs to identify: anyone who reaches the address could spend the keys. Name the callers under `clients`, each with its own key.";
    OpenAdmin = "E0502": "The admin API listens beyond this machine without tokens: anyone who reaches the address could pin levels and reload the config. Give `tokens: [env:NAME]`.";
    PlainAdmin = "W0503": "The admin API listens beyond this machine and speaks plain HTTP: whoever can read the network between sees tokens and may use them. Put a proxy with TLS in front and listen on 127.0.0.1, or keep the address to a network that you trust.";
    PlainMail = "W0504": "A name and a password go to a mail server in the clear, readable for whoever can read the network between. `tls: start` (port 587) or `tls: implicit` (port 465) keep them private.";
    Order = "E0601": "Numbers that must stand in an order do not, such as a minimum above its maximum, or thresholds that fall.";
    Impossible = "E0701": "An objective that every service misses, or that none can miss. It would page always or never.";
    BurnUnreachable = "W0702": "A burn rate that cannot occur. When every request fails, a budget burns at 1 / (1 - target): at a target of 90 % that is 10, so an alert at 14.4 never fires.";
    BareCounter = "W0703": "An expression without `$window` is taken for one counter that only grows, and its values at two times are subtracted. A sum of several counters falls when one of them starts again, and the events since are miscounted. `sum(increase(requests_total[$window]))` has Prometheus do it, series by series.";
    OpenSloName = "W0801": "OpenSLO's names follow RFC 1123: at most 63 lower-case letters, digits and `-`, the first and the last a letter or digit. Other tools refuse what mainstay takes here.";
    OpenSloTarget = "W0802": "`targetPercent` is a percentage, `target` a share: 99.9 and 0.999 mean the same. A percentage below 1 is most often a share in the wrong field.";
    BurnOperator = "W0803": "A condition on a burn rate with `lt` or `lte` holds while the budget burns slowly: it fires when all is well and is silent in an outage. The specification's own examples had it this way.";
    OpenSloUnsupported = "E0804": "Something that OpenSLO allows and mainstay cannot count: composite objectives, thresholds on gauges, ratios that are computed already, sources other than Prometheus. It is refused, so that no objective is silently another one. The documentation has a table of all fields.";
    OpenSloTime = "E0806": "The beginning of a calendar window is a date and a time without a zone, such as `2026-01-01 00:00:00`; `timeZone` says where.";
    Experiment = "E0901": "An experiment that contradicts itself, or says something that none can: a share above what its blast allows, a fault that gives wrong answers to real callers without `force`, an overload of limited blast.";
    FaultPlace = "E0902": "A fault that cannot occur where the experiment puts it: at a backend that the route does not use, in streams of a route that has none, at features of a route that asks no store.";
    Drill = "E0903": "A drill that cannot be run, or that cannot come out well: it lasts too long or sends too much to ever end, something happens after its end, two expectations about the same time exclude each other, or a block that it needs is missing.\n\nA drill has four blocks of YAML, each named after `yaml`: `config` (or `config: FILE` at its top), `world`, `script` (which may be left out) and `expect`.";
    OpenSloAnnotation = "E0805": "An export keeps in the annotation `mainstay.dev/indicator` what OpenSLO has no field for: the kind of the objective and how good events are told. This one cannot be read back.";
}

impl Code {
    /// How bad findings of this kind are.
    pub const fn severity(self) -> Severity {
        match self.as_str().as_bytes() {
            [b'W', ..] => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
