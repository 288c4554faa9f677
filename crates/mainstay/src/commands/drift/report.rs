//! What was found, as JSON, as a table and as a page with plots.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::compare::Compared;
use crate::plot::escaped;
use crate::table::Table;

/// Bins or categories that a plot shows.
const BARS_MAX: usize = 40;

/// The contract's document.
pub(super) fn document(columns: &[Compared]) -> Value {
    let columns: Map<String, Value> = columns.iter().map(|column| (column.name.clone(), of(column))).collect();
    json!({ "columns": columns })
}

fn of(column: &Compared) -> Value {
    let methods: Map<String, Value> = column
        .scores
        .iter()
        .map(|score| {
            let mut entry = json!({ "value": score.value, "drifted": score.drifted });
            if let Some(p_value) = score.p_value {
                entry["p_value"] = json!(p_value);
            }
            (score.method.name().to_owned(), entry)
        })
        .collect();
    let mut entry = json!({
        "status": column.status.name(),
        "n_reference": column.n_reference,
        "n_current": column.n_current,
        "exact": column.exact,
        "methods": methods,
        "missing_rate": { "reference": column.missing_rate.0, "current": column.missing_rate.1 },
        "infinite": { "reference": column.infinite.0, "current": column.infinite.1 },
        "of_other_kind": { "reference": column.mixed.0, "current": column.mixed.1 },
        "outside_rate": column.outside_rate,
    });
    if let Some((ks, wasserstein)) = column.bounds {
        entry["bounds"] = json!({ "ks": ks, "wasserstein": wasserstein });
    }
    entry
}

/// A line per column and method.
pub(super) fn table(columns: &[Compared]) -> String {
    let mut table = Table::new(&["column", "status", "reference", "current", "method", "value", "p", "drifted"]);
    for column in columns {
        let head = [
            column.name.clone(),
            column.status.name().to_owned(),
            column.n_reference.to_string(),
            column.n_current.to_string(),
        ];
        if column.scores.is_empty() {
            table.row([head.to_vec(), vec!["-".to_owned(); 4]].concat());
        }
        for (at, score) in column.scores.iter().enumerate() {
            let start = if at == 0 { head.to_vec() } else { vec![String::new(); 4] };
            let p_value = score.p_value.map_or("-".to_owned(), |p| format!("{p:.3e}"));
            let word = if score.drifted { "yes" } else { "no" };
            let cells = vec![score.method.name().to_owned(), format!("{:.4}", score.value), p_value, word.to_owned()];
            table.row([start, cells].concat());
        }
    }
    let sampled = if columns.iter().all(|column| column.exact) {
        ""
    } else {
        "Columns beyond --exact-rows were compared by bins; --format json tells the bounds.\n"
    };
    format!("{table}{sampled}")
}

/// A page that needs nothing else: scores, and the distributions side by side.
pub(super) fn page(reference: &str, current: &str, columns: &[Compared]) -> String {
    let mut out = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Drift</title>\n<style>body{{font-family:sans-serif;margin:2em}}\
         td,th{{padding:0 1em 0 0;text-align:left}}</style>\n<h1>Drift</h1>\n<p>Reference <b>{}</b> (blue), current <b>{}</b> (orange).</p>\n",
        escaped(reference),
        escaped(current)
    );
    for column in columns {
        let name = escaped(&column.name);
        write!(
            out,
            "<h2>{name}: {}</h2>\n<p>{} and {} values; missing {:.2} % and {:.2} %; outside the reference {:.2} %{}</p>\n\
             <table><tr><th>method<th>value<th>p<th>drifted</tr>\n",
            column.status.name(),
            column.n_reference,
            column.n_current,
            100.0 * column.missing_rate.0,
            100.0 * column.missing_rate.1,
            100.0 * column.outside_rate,
            if column.exact { "" } else { "; by bins" },
        )
        .expect("a string takes what is written");
        for score in &column.scores {
            let p_value = score.p_value.map_or("-".to_owned(), |p| format!("{p:.3e}"));
            let word = if score.drifted { "yes" } else { "no" };
            let method = score.method.name();
            writeln!(out, "<tr><td>{method}<td>{:.6}<td>{p_value}<td>{word}</tr>", score.value)
                .expect("a string takes what is written");
        }
        out.push_str("</table>\n");
        bars(&mut out, &column.shares);
    }
    out
}

fn bars(out: &mut String, shares: &[(String, f64, f64)]) {
    let shown = &shares[..shares.len().min(BARS_MAX)];
    let most = shown.iter().map(|(_, a, b)| a.max(*b)).fold(f64::MIN_POSITIVE, f64::max);
    let height = 22 * shown.len().max(1);
    writeln!(out, "<svg viewBox=\"0 0 640 {height}\" width=\"640\" height=\"{height}\" font-size=\"11\">")
        .expect("a string takes what is written");
    for (at, (label, a, b)) in shown.iter().enumerate() {
        let (top, scale) = (22 * at, 400.0 / most);
        writeln!(
            out,
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"180\" y=\"{}\" width=\"{:.1}\" height=\"8\" fill=\"#2266aa\"/>\
             <rect x=\"180\" y=\"{}\" width=\"{:.1}\" height=\"8\" fill=\"#dd7711\"/>",
            top + 14,
            escaped(label),
            top + 2,
            a * scale,
            top + 11,
            b * scale,
        )
        .expect("a string takes what is written");
    }
    out.push_str("</svg>\n");
    if shares.len() > BARS_MAX {
        let more = shares.len() - BARS_MAX;
        writeln!(out, "<p>{more} more are not shown.</p>").expect("a string takes what is written");
    }
}
