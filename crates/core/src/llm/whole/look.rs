//! What has to be known of an answer's JSON, seen in one pass and without a copy of its texts.
//!
//! Whatever stands in a field, it is no reason not to read the others: providers add fields, and put something else into known ones. Of a
//! field that is there twice the last counts.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::delta::Tokens;
use super::super::{Finish, Usage};

/// An answer's fields.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) choices: Seen<List>,
    pub(super) content: Seen<List>,
    pub(super) stop: Seen<Word>,
    pub(super) usage: Usage,
    pub(super) has_error: bool,
}

/// A list of choices, or of blocks of content.
#[derive(Default)]
pub(super) struct List {
    /// It is one.
    pub(super) is_one: bool,
    /// Why the first choice ended that says so.
    pub(super) finish: Option<Finish>,
    /// A choice says that it broke off.
    pub(super) is_cut: bool,
    /// A choice was stopped by something else than the end of what it had to say.
    pub(super) is_stopped: bool,
    /// Something stands in a choice.
    pub(super) says: bool,
    /// Something stands in a block.
    pub(super) shows: bool,
}

/// A choice or a block.
#[derive(Default)]
struct Part {
    finish: Option<Finish>,
    says: bool,
    shows: bool,
}

/// Why an answer ended; nothing where that is no word.
#[derive(Default)]
pub(super) struct Word(pub(super) Option<Finish>);

/// Whether a value is anything but nothing, no, or empty.
#[derive(Default)]
struct Something(bool);

/// Whether an object has anything in it beside the role of who speaks.
#[derive(Default)]
struct Message(bool);

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Answer, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Answer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Answer, A::Error> {
                let mut answer = Answer::default();
                while let Some(field) = object.next_key()? {
                    match field {
                        Field::Choices => answer.choices = object.next_value()?,
                        Field::Content => answer.content = object.next_value()?,
                        Field::StopReason => answer.stop = object.next_value()?,
                        Field::Error => answer.has_error = object.next_value::<Option<IgnoredAny>>()?.is_some(),
                        Field::Usage => {
                            let tokens = serde_json::from_str::<Tokens>(object.next_value::<&RawValue>()?.get());
                            answer.usage = tokens.map(|tokens| tokens.known()).unwrap_or_default();
                        }
                        _ => skip(&mut object)?,
                    }
                }
                Ok(answer)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Choices,
    Content,
    Error,
    FinishReason,
    Message,
    Role,
    StopReason,
    Text,
    Type,
    Usage,
    #[serde(other)]
    Other,
}

/// What is made of any value.
pub(super) trait Look: Default {
    fn of_text(_: &str) -> Self {
        Self::default()
    }

    /// Of a number, a flag, or whatever has parts, by whether there is anything.
    fn of_thing(_is_something: bool) -> Self {
        Self::default()
    }

    fn of_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut any = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            any = true;
        }
        Ok(Self::of_thing(any))
    }

    fn of_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut any = false;
        while object.next_key::<IgnoredAny>()?.is_some() {
            skip(&mut object)?;
            any = true;
        }
        Ok(Self::of_thing(any))
    }
}

fn skip<'de, A: MapAccess<'de>>(object: &mut A) -> Result<(), A::Error> {
    object.next_value::<IgnoredAny>().map(drop)
}

impl Look for Word {
    fn of_text(text: &str) -> Word {
        Word((!text.is_empty()).then(|| Finish::parse(text)))
    }
}

impl Look for Something {
    fn of_text(text: &str) -> Something {
        Something(!text.is_empty())
    }

    fn of_thing(is_something: bool) -> Something {
        Something(is_something)
    }
}

impl Look for Message {
    fn of_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Message, A::Error> {
        let mut says = false;
        while let Some(field) = object.next_key()? {
            match field {
                Field::Role => skip(&mut object)?,
                _ => says |= object.next_value::<Seen<Something>>()?.0.0,
            }
        }
        Ok(Message(says))
    }
}

impl Look for Part {
    fn of_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Part, A::Error> {
        let mut part = Part::default();
        while let Some(field) = object.next_key()? {
            match field {
                Field::FinishReason => part.finish = object.next_value::<Seen<Word>>()?.0.0,
                Field::Message => part.says |= object.next_value::<Seen<Message>>()?.0.0,
                Field::Type => skip(&mut object)?,
                field => {
                    let Seen(Something(is_something)) = object.next_value()?;
                    part.shows |= is_something;
                    part.says |= is_something && matches!(field, Field::Text);
                }
            }
        }
        Ok(part)
    }
}

impl Look for List {
    fn of_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<List, A::Error> {
        let mut all = List { is_one: true, ..List::default() };
        while let Some(Seen(part)) = list.next_element::<Seen<Part>>()? {
            all.is_cut |= part.finish.as_ref().is_some_and(Finish::is_break);
            all.is_stopped |= !matches!(part.finish, None | Some(Finish::Stop));
            all.says |= part.says;
            all.shows |= part.shows;
            all.finish = all.finish.or(part.finish);
        }
        Ok(all)
    }
}

/// A value that was looked at.
#[derive(Default)]
pub(super) struct Seen<T>(pub(super) T);

impl<'de, T: Look> Deserialize<'de> for Seen<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seen<T>, D::Error> {
        deserializer.deserialize_any(Any(PhantomData)).map(Seen)
    }
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Look> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(text))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        Ok(T::of_thing(flag))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Ok(T::of_thing(true))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::of_thing(true))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::of_thing(true))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::of_thing(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::of_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::of_object(object)
    }
}
