//! Did you mean.

/// Most names that are compared.
const COMPARED: usize = 1000;

/// The known name that is nearest to what was written, where one is near enough to be meant.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase().replace('-', "_");
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .take(COMPARED)
        .map(|name| (distance(&written, &name.to_lowercase().replace('-', "_")), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace, swap neighbours) from one to the other; long names count as far.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut before = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["deadline", "ladder", "path", "queue"];
        for (written, expected) in [
            ("dedline", Some("deadline")),
            ("Deadline", Some("deadline")),
            ("paht", Some("path")),
            ("ladders", Some("ladder")),
            ("que", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(written, known), expected, "{written}");
        }
    }
}
