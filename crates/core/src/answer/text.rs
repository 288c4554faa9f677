//! Words and characters as they are compared.
//!
//! [`words`] is for search: lower case, compatibility forms unified (NFKC). [`skeleton`] is for filters, where writers
//! try not to be understood: besides, it takes away what cannot be seen, marks above and below letters, letters of other
//! scripts that look Latin, digits and signs that stand for letters, and what separates single letters.

use unicode_normalization::UnicodeNormalization as _;

/// Gives each word of a text: runs of letters and digits, in lower case and in normal form NFKC.
///
/// ```
/// let mut words = Vec::new();
/// mainstay_core::answer::text::words("Blue SUÈDE-shoes, ﬁne", |word| words.push(word.to_owned()));
/// assert_eq!(words, ["blue", "suède", "shoes", "fine"]);
/// ```
pub fn words(text: &str, each: impl FnMut(&str)) {
    words_by(text, &mut String::new(), each);
}

/// [`words`] for many texts, one after the other: what `buffer` holds does not matter, and need not be made again.
pub fn words_by(text: &str, buffer: &mut String, mut each: impl FnMut(&str)) {
    runs(
        text,
        |b| b.is_ascii_alphanumeric(),
        |run, kind| match kind {
            PLAIN => each(run),
            _ if kind & OTHER == 0 => {
                buffer.clear();
                for c in run.chars() {
                    push_or_end(lower_latin1(c), buffer, &mut each);
                }
                end(buffer, &mut each);
            }
            _ => {
                buffer.clear();
                for c in run.nfkc().flat_map(char::to_lowercase).nfc() {
                    push_or_end(c, buffer, &mut each);
                }
                end(buffer, &mut each);
            }
        },
    );
}

fn push_or_end(c: char, word: &mut String, each: &mut impl FnMut(&str)) {
    if c.is_alphanumeric() || is_mark(c) && !word.is_empty() {
        word.push(c);
    } else {
        end(word, each);
    }
}

fn end(word: &mut String, each: &mut impl FnMut(&str)) {
    if !word.is_empty() {
        each(word);
        word.clear();
    }
}

/// Small letters without accents, and digits.
const PLAIN: u8 = 1;
/// Capital letters without accents.
const CAPITAL: u8 = 2;
/// Letters of the Latin-1 block with accents, from U+00C0 to U+00FF.
const ACCENTED: u8 = 4;
/// Whatever else a run may have.
const OTHER: u8 = 8;

/// Cuts a text where ASCII characters are that are not `kept`, which no normal form moves or joins with what is beyond
/// them in one word; gives each run between, and which of the four kinds above are in it.
fn runs(text: &str, kept: impl Fn(u8) -> bool, mut each: impl FnMut(&str, u8)) {
    let (mut start, mut kind) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        kind |= match byte {
            // From 0x80 on: what follows the first byte of a character, which tells the kind.
            b'a'..=b'z' | b'0'..=b'9' | 0x80..=0xbf => PLAIN,
            b'A'..=b'Z' => CAPITAL,
            0xc3 => ACCENTED,
            _ if !byte.is_ascii() || kept(byte) => OTHER,
            _ => {
                if start < at {
                    each(&text[start..at], kind);
                }
                (start, kind) = (at + 1, 0);
                continue;
            }
        };
    }
    if start < text.len() {
        each(&text[start..], kind);
    }
}

/// Lower case up to U+00FF, where it is one character and in every normal form that composes.
const fn lower_latin1(c: char) -> char {
    match c {
        'A'..='Z' => c.to_ascii_lowercase(),
        'À'..='Ö' | 'Ø'..='Þ' => (c as u8 + 0x20) as char,
        _ => c,
    }
}

/// A mark that belongs to the letter before it, as in scripts that write vowels so.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// A text as a filter compares it: words with one space between, and one at both ends.
///
/// 1. Compatibility forms are decomposed (NFKD): full-width letters, ligatures, circled letters become plain ones.
/// 2. What cannot be seen goes (zero-width characters, soft hyphens, variation selectors), and so do diacritics.
/// 3. Case is folded, by way of upper case: `ß` is `ss`, `ς` is `σ`.
/// 4. Cyrillic and Greek letters that look like Latin ones become these.
/// 5. In a run that has a letter, `0 1 3 4 5 7 8 9 @ $ ! |` are `o i e a s t b g a s i i`.
/// 6. Whatever is neither letter nor digit ends a word.
/// 7. Three or more single letters in a row are one word: `k.i.l.l`.
///
/// ```
/// use mainstay_core::answer::text::skeleton;
///
/// assert_eq!(skeleton("Free\u{200b}  M0ney!"), " free money ");
/// assert_eq!(skeleton("k.i.l.l"), " kill ");
/// assert_eq!(skeleton("100 %"), " 100 ");
/// ```
pub fn skeleton(text: &str) -> String {
    let mut out = Skeleton { text: String::with_capacity(text.len() + 2), run: String::new(), singles: 0 };
    out.text.push(' ');
    runs(
        text,
        |b| b.is_ascii_alphanumeric() || stands_for(char::from(b)).is_some(),
        |run, kind| {
            if kind & (ACCENTED | OTHER) == 0 {
                return out.plain(run, kind);
            }
            for c in run.nfkd().filter(|c| !is_invisible(*c)) {
                for c in c.to_uppercase().flat_map(char::to_lowercase) {
                    out.push(latin(c));
                }
            }
            out.end_run();
        },
    );
    out.text
}

/// What is built of a text: finished words, and the run of characters that may become one.
struct Skeleton {
    text: String,
    run: String,
    /// Single letters at the end of `text`.
    singles: usize,
}

impl Skeleton {
    /// A run of ASCII letters and digits, which is one word.
    fn plain(&mut self, run: &str, kind: u8) {
        let has_letter = kind & CAPITAL != 0 || run.bytes().any(|byte| byte.is_ascii_lowercase());
        self.begin(run.len() == 1 && has_letter);
        if has_letter {
            let letters = run.chars().map(|c| stands_for(c).unwrap_or(c.to_ascii_lowercase()));
            self.text.extend(letters);
        } else {
            self.text.push_str(run);
        }
        self.finish();
    }

    fn push(&mut self, c: char) {
        if c.is_alphanumeric() || stands_for(c).is_some() || is_mark(c) {
            self.run.push(c);
        } else {
            self.end_run();
        }
    }

    /// Signs at the edges of a run are punctuation, unless they come before a letter (`$ex`); a run without a letter keeps its digits.
    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let inner = run.trim_end_matches(['!', '|']);
        if inner.chars().any(char::is_alphabetic) {
            let word: String = inner.chars().map(|c| stands_for(c).unwrap_or(c)).collect();
            self.word(&word);
        } else {
            inner
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .for_each(|word| self.word(word));
        }
        self.run = run;
        self.run.clear();
    }

    fn word(&mut self, word: &str) {
        let mut chars = word.chars();
        self.begin(matches!((chars.next(), chars.next()), (Some(c), None) if c.is_alphabetic()));
        self.text.push_str(word);
        self.finish();
    }

    /// Before a word is written, which may be a single letter and then belong to those before it.
    fn begin(&mut self, is_single: bool) {
        self.singles = if is_single { self.singles + 1 } else { 0 };
        if self.singles > 3 {
            self.text.pop();
        }
    }

    /// After it was written.
    fn finish(&mut self) {
        self.text.push(' ');
        if self.singles == 3 {
            self.join_last_three();
        }
    }

    /// Takes the spaces between the last three single letters away.
    fn join_last_three(&mut self) {
        let last: Vec<char> = self.text.split(' ').rev().skip(1).take(3).flat_map(str::chars).collect();
        let length: usize = last.iter().map(|c| c.len_utf8() + 1).sum();
        self.text.truncate(self.text.len() - length);
        self.text.extend(last.iter().rev());
        self.text.push(' ');
    }
}

/// The letter for which a digit or sign is written.
const fn stands_for(c: char) -> Option<char> {
    Some(match c {
        '0' => 'o',
        '1' | '!' | '|' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '8' => 'b',
        '9' => 'g',
        _ => return None,
    })
}

/// Zero-width and format characters, soft hyphens, variation selectors, and the diacritics of Latin, Greek, Cyrillic.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
        | '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20f0}')
}

/// The Latin letter that a lower-case letter of another script is taken for.
const fn latin(c: char) -> char {
    match c {
        'а' | 'α' | 'ɑ' => 'a',
        'ь' | 'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' | 'є' | 'ҽ' => 'e',
        'ɡ' => 'g',
        'һ' | 'н' | 'η' => 'h',
        'і' | 'ι' | 'ɩ' | 'ı' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' | 'ł' => 'l',
        'м' | 'μ' => 'm',
        'ո' | 'п' => 'n',
        'о' | 'ο' | 'σ' | 'օ' | 'ø' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' | 'ү' => 'y',
        'ᴢ' | 'ζ' => 'z',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Character by character over the whole text.
    fn naive_words(text: &str) -> Vec<String> {
        let whole: String = text.nfkc().flat_map(char::to_lowercase).nfc().collect();
        let words = whole.split(|c: char| !c.is_alphanumeric() && !is_mark(c));
        words.map(|word| word.trim_start_matches(is_mark).to_owned()).filter(|word| !word.is_empty()).collect()
    }

    fn naive_skeleton(text: &str) -> String {
        let mut out = Skeleton { text: " ".to_owned(), run: String::new(), singles: 0 };
        for c in text.nfkd().filter(|c| !is_invisible(*c)) {
            c.to_uppercase().flat_map(char::to_lowercase).for_each(|c| out.push(latin(c)));
        }
        out.end_run();
        out.text
    }

    proptest! {
        /// The short ways for plain letters lead where the long one does.
        #[test]
        fn short_ways_lead_to_the_same_words(text in "([a-cA-C0-4 .!|$@<=\\-]|[À-ÿ]|[\u{300}-\u{303}\u{338}]|ﬁ|İ|ſ|Σ|К|か|゙|¨|½|\u{200b}|\u{600}){0,24}") {
            let mut found = Vec::new();
            words(&text, |word| found.push(word.to_owned()));
            prop_assert_eq!(found, naive_words(&text));
            prop_assert_eq!(skeleton(&text), naive_skeleton(&text));
        }
    }

    #[test]
    fn disguises_are_seen_through() {
        for disguised in [
            "attack",
            "ATTACK",
            "a\u{200b}tt\u{ad}ack",
            "аttасk",
            "ａｔｔａｃｋ",
            "4tt4ck",
            "@tt@ck",
            "a.t.t.a.c.k",
            "a t t a c k",
            "áttäck",
            "(attack)!!",
        ] {
            assert_eq!(skeleton(disguised), " attack ", "{disguised}");
        }
        assert_eq!(skeleton("I a ttack"), " i a ttack ");
        assert_eq!(skeleton("at 5 or 10!"), " at 5 or 10 ");
        assert_eq!(skeleton("Straße, ΣΊΣΥΦΟΣ"), " strasse oiouφoo ");
        assert_eq!(skeleton(" \u{200b}-"), " ");
    }
}
