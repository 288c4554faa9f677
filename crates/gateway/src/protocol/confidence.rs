//! What an answer predicts, and how sure it is.

use http::HeaderMap;
use mainstay_core::plan::{Confidence, ConfidenceFrom, ConfidenceScale, Prediction};

use crate::json::{self, Pointer, PointerError};

/// Reads the confidence of answers; made once per route.
#[derive(Clone, Debug)]
pub struct ConfidenceReader {
    place: Place,
    scale: ConfidenceScale,
}

#[derive(Clone, Debug)]
enum Place {
    Pointer(Pointer),
    Header(String),
}

impl ConfidenceReader {
    /// Compiles the place.
    pub fn new(plan: &Confidence) -> Result<ConfidenceReader, PointerError> {
        let place = match &plan.from {
            ConfidenceFrom::Pointer(text) => Place::Pointer(Pointer::parse(text)?),
            ConfidenceFrom::Header(name) => Place::Header(name.clone()),
        };
        Ok(ConfidenceReader { place, scale: plan.scale })
    }

    /// Whether [`read`](Self::read) looks at the answer's body.
    pub fn needs_body(&self) -> bool {
        match self.place {
            Place::Pointer(_) => true,
            Place::Header(_) => false,
        }
    }

    /// The confidence; of an array (a batch) the smallest after it was mapped. `None` where there is none, or
    /// anything that is not a finite number is among them, or a probability lies outside [0, 1].
    pub fn read(&self, headers: &HeaderMap, body: &[u8]) -> Option<f64> {
        match &self.place {
            Place::Header(name) => {
                let number: f64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
                mapped(self.scale, number)
            }
            Place::Pointer(pointer) => {
                let raw = json::find(body, pointer).ok()??;
                let (mut least, mut readable) = (f64::INFINITY, true);
                json::fold_numbers(raw, |number| match mapped(self.scale, number) {
                    Some(number) => least = least.min(number),
                    None => readable = false,
                })?;
                Some(least).filter(|least| readable && least.is_finite())
            }
        }
    }
}

fn mapped(scale: ConfidenceScale, number: f64) -> Option<f64> {
    match scale {
        ConfidenceScale::Score | ConfidenceScale::Margin => Some(number).filter(|number| number.is_finite()),
        ConfidenceScale::Probability => (0.0..=1.0).contains(&number).then(|| number.max(1.0 - number)),
    }
}

/// What an answer predicts.
#[derive(Clone, PartialEq, Debug)]
pub enum Predicted {
    /// A number: a probability, a score, a class's index.
    Number(f64),
    /// A label.
    Label(String),
    /// A decision.
    Decision(bool),
}

/// Reads predictions; made once per route.
#[derive(Clone, Debug)]
pub struct PredictionReader {
    pointer: Pointer,
    threshold: Option<f64>,
}

impl PredictionReader {
    /// Compiles the place.
    pub fn new(plan: &Prediction) -> Result<PredictionReader, PointerError> {
        Ok(PredictionReader { pointer: Pointer::parse(&plan.pointer)?, threshold: plan.threshold })
    }

    /// The prediction, where it is a scalar.
    pub fn read(&self, body: &[u8]) -> Option<Predicted> {
        let raw = json::find(body, &self.pointer).ok()??;
        json::boolean(raw)
            .map(Predicted::Decision)
            .or_else(|| json::number(raw).map(Predicted::Number))
            .or_else(|| json::string(raw).map(|label| Predicted::Label(label.into_owned())))
    }

    /// Whether the prediction is positive: a number from the threshold on (0.5 unless configured), a decision as it
    /// is; a label says nothing.
    pub fn is_positive(&self, predicted: &Predicted) -> Option<bool> {
        match predicted {
            Predicted::Number(number) => Some(*number >= self.threshold.unwrap_or(0.5)),
            Predicted::Decision(decision) => Some(*decision),
            Predicted::Label(_) => None,
        }
    }
}
