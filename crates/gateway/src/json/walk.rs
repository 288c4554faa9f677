//! The visitors behind the lookups: they walk a document once and build nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Member, Token, string};

/// Lets a visitor answer a fixed value for every kind of scalar.
macro_rules! scalars {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

/// Lets a visitor skip an array, or an object, and answer a fixed value.
macro_rules! skip {
    (array => $value:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            while array.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    (object => $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

/// Implements a seed by handing itself over as a visitor.
macro_rules! seed {
    ($name:ident $(<$life:lifetime>)? $(const $n:ident)? => $value:ty) => {
        impl<'de $(, $life)? $(, const $n: usize)?> DeserializeSeed<'de> for $name<$($life ,)? $($n)?> {
            type Value = $value;
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

pub(super) struct Find<'t> {
    pub(super) tokens: &'t [Token],
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.tokens.is_empty() {
            <&RawValue as serde::Deserialize>::deserialize(deserializer).map(Some)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let Some((token, rest)) = self.tokens.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(here) = object.next_key_seed(KeyIndex(std::slice::from_ref(&&*token.key)))? {
            match here {
                Some(_) => found = object.next_value_seed(Find { tokens: rest })?,
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let Some((token, rest)) = self.tokens.split_first() else { return Ok(None) };
        let mut found = None;
        for at in 0.. {
            if token.index == Some(at) {
                let Some(here) = array.next_element_seed(Find { tokens: rest })? else { break };
                found = here;
            } else if array.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    scalars!(None);
}

pub(super) struct Fields<'n, const N: usize> {
    pub(super) names: [&'n str; N],
}
seed!(Fields<'n> const N => [Option<&'de RawValue>; N]);

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(key) = object.next_key_seed(KeyIndex(&self.names))? {
            match key {
                Some(at) => found[at] = Some(object.next_value()?),
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    skip!(array => [None; N]);
    scalars!([None; N]);
}

pub(super) struct Members;
seed!(Members => Option<Vec<Member<'de>>>);

impl<'de> Visitor<'de> for Members {
    type Value = Option<Vec<Member<'de>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = object.next_key::<&RawValue>()? {
            let key = string(key).ok_or_else(|| A::Error::custom("a key is not a string"))?;
            all.push((key, object.next_value()?));
        }
        Ok(Some(all))
    }

    skip!(array => None);
    scalars!(None);
}

pub(super) struct Elements;
seed!(Elements => Option<Vec<&'de RawValue>>);

impl<'de> Visitor<'de> for Elements {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = array.next_element()? {
            all.push(element);
        }
        Ok(Some(all))
    }

    skip!(object => None);
    scalars!(None);
}

/// Which of some names a key is.
struct KeyIndex<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for KeyIndex<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIndex<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

pub(super) struct Numbers<'f, F>(pub(super) &'f mut F);

impl<'de, F: FnMut(f64)> DeserializeSeed<'de> for Numbers<'_, F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(f64)> Visitor<'de> for Numbers<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers")
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        (self.0)(number);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        (self.0)(number as f64);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        (self.0)(number as f64);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element_seed(Numbers(&mut *self.0))?.is_some() {}
        Ok(())
    }
}
