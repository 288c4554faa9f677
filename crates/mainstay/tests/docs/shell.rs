//! As much of a shell as the documentation's examples need: words, quotes, comments, pipes, where output goes, texts in place.

/// A command with what is done with its output.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Command {
    /// The number of its first line in the block, from 0.
    pub(crate) line: usize,
    pub(crate) words: Vec<String>,
    /// Where its standard output goes.
    pub(crate) out: Option<String>,
    /// What it reads: a text in place.
    pub(crate) input: Option<String>,
}

/// The commands of a block, in their order.
pub(crate) fn commands(text: &str) -> Vec<Command> {
    let mut reader =
        Reader { rest: text, line: 0, commands: Vec::new(), current: Command::default(), ends: Vec::new() };
    while reader.step() {}
    reader.finish();
    reader.commands
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    commands: Vec<Command>,
    current: Command,
    /// Words that end texts which begin on the next line.
    ends: Vec<String>,
}

impl Reader<'_> {
    /// Reads one word, operator or end of a line; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        if let Some(rest) = self.rest.strip_prefix("\\\n") {
            (self.rest, self.line) = (rest, self.line + 1);
            return true;
        }
        match first {
            ' ' | '\t' => self.skip(1),
            '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
            '\n' => self.end_of_line(),
            '|' | '&' | ';' => {
                self.skip(1);
                self.finish();
            }
            '<' if self.rest.starts_with("<<") => {
                self.skip(2);
                let end = self.word();
                self.ends.push(end);
            }
            '>' => {
                self.skip(1);
                self.rest = self.rest.trim_start_matches([' ', '>']);
                self.current.out = Some(self.word());
            }
            _ => {
                if self.current.words.is_empty() {
                    self.current.line = self.line;
                }
                let word = self.word();
                self.current.words.push(word);
            }
        }
        true
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Texts in place follow the line that asks for them.
    fn end_of_line(&mut self) {
        self.skip(1);
        let mut lines = 1;
        for end in std::mem::take(&mut self.ends) {
            let mut input = String::new();
            while let Some((line, rest)) = self.rest.split_once('\n') {
                (self.rest, lines) = (rest, lines + 1);
                if line == end {
                    break;
                }
                input.extend([line, "\n"]);
            }
            self.current.input = Some(input);
        }
        self.line += lines;
        self.finish();
    }

    fn word(&mut self) -> String {
        let (mut word, mut quote) = (String::new(), None);
        let mut characters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = characters.next() {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None | Some('"'), '\\') => word.extend(characters.next().map(|(_, c)| c)),
                (None, ' ' | '\t' | '\n' | '|' | ';' | '>') => {
                    end = at;
                    break;
                }
                (_, c) => word.push(c),
            }
        }
        self.line += self.rest[..end].matches('\n').count();
        self.skip(end);
        word
    }

    fn finish(&mut self) {
        let command = std::mem::take(&mut self.current);
        if !command.words.is_empty() {
            self.commands.push(command);
        }
    }
}

#[test]
fn blocks_are_read_as_a_shell_reads_them() {
    let text = "A=1 mainstay check  # not this\n# nor this\nmainstay a 'b c' \"d \\\" e\" \\\n  --f > out.txt && g | h\ncat <<'END'\nmainstay no\nEND\ncurl -d '{\n}' x\ny";
    let read: Vec<_> = commands(text).into_iter().map(|c| (c.line, c.words.join("_"), c.out)).collect();
    let expected = [
        (0, "A=1_mainstay_check", None),
        (2, "mainstay_a_b c_d \" e_--f", Some("out.txt")),
        (3, "g", None),
        (3, "h", None),
        (4, "cat", None),
        (7, "curl_-d_{\n}_x", None),
        (9, "y", None),
    ];
    let expected =
        expected.map(|(line, words, out): (_, _, Option<&str>)| (line, words.to_owned(), out.map(str::to_owned)));
    assert_eq!(read, expected);
    assert_eq!(commands(text)[4].input.as_deref(), Some("mainstay no\n"));
}
