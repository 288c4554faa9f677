//! Logistic regression on standardised columns: small, real, learnt in milliseconds at the start.

use ring::digest::{Context, SHA256};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

use mainstay_core::training::trainable::{StepError, Trainable};

use super::data::{COLUMNS, Patient};

/// How strongly large weights are punished: the training rows are few and their columns correlate.
const RIDGE: f64 = 1.0;

/// A model that gives the probability of a malignant tumour.
#[derive(Clone, Debug)]
pub(super) struct Model {
    columns: Vec<Column>,
    intercept: f64,
}

#[derive(Clone, Debug)]
struct Column {
    index: usize,
    mean: f64,
    deviation: f64,
    weight: f64,
}

impl Model {
    /// Learns from the given columns of the given rows.
    pub(super) fn train(patients: &[Patient], columns: &[usize]) -> anyhow::Result<Model> {
        let mut columns: Vec<Column> = columns.iter().map(|&index| Column::measure(patients, index)).collect();
        let rows: Vec<Vec<f64>> = patients
            .iter()
            .map(|patient| columns.iter().map(|column| column.standardise(&patient.values)).collect())
            .collect();
        let labels: Vec<u8> = patients.iter().map(|patient| u8::from(patient.malignant)).collect();
        let fitted = LogisticRegression::fit(
            &DenseMatrix::from_2d_vec(&rows)?,
            &labels,
            LogisticRegressionParameters::default().with_alpha(RIDGE),
        )?;
        for (position, column) in columns.iter_mut().enumerate() {
            column.weight = *fitted.coefficients().get((0, position));
        }
        let learnt = Model { columns, intercept: *fitted.intercept().get((0, 0)) };
        Ok(learnt.oriented(patients))
    }

    /// The probability of a malignant tumour, from a full row; columns the model does not know are not read.
    pub(super) fn probability(&self, values: &[f64; COLUMNS]) -> f64 {
        let score: f64 = self.columns.iter().map(|column| column.weight * column.standardise(values)).sum();
        1.0 / (1.0 + (-(score + self.intercept)).exp())
    }

    /// What its parameters hash to.
    pub(super) fn digest(&self) -> String {
        let mut hash = Context::new(&SHA256);
        for column in &self.columns {
            hash.update(&(column.index as u64).to_be_bytes());
            for number in [column.mean, column.deviation, column.weight] {
                hash.update(&number.to_be_bytes());
            }
        }
        hash.update(&self.intercept.to_be_bytes());
        hash.finish().as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// The share of rows that the model places right, at a threshold of one half.
    pub(super) fn accuracy(&self, patients: &[Patient]) -> f64 {
        let right =
            patients.iter().filter(|patient| (self.probability(&patient.values) >= 0.5) == patient.malignant).count();
        right as f64 / patients.len() as f64
    }

    /// The library codes the classes in the order in which it meets them: turn the scores so that they speak of
    /// malignant tumours.
    fn oriented(mut self, patients: &[Patient]) -> Model {
        if self.accuracy(patients) < 0.5 {
            self.intercept = -self.intercept;
            for column in &mut self.columns {
                column.weight = -column.weight;
            }
        }
        self
    }
}

/// Gradient descent on all rows at once, step by step: the same steps give the same bits.
pub(super) struct Descent {
    columns: Vec<Column>,
    intercept: f64,
    rows: Vec<Vec<f64>>,
    labels: Vec<f64>,
}

/// How far a step goes.
const RATE: f64 = 0.5;

impl Descent {
    pub(super) fn new(patients: &[Patient], columns: &[usize]) -> Descent {
        let columns: Vec<Column> = columns.iter().map(|&index| Column::measure(patients, index)).collect();
        let row = |patient: &Patient| columns.iter().map(|column| column.standardise(&patient.values)).collect();
        let rows = patients.iter().map(row).collect();
        let labels = patients.iter().map(|patient| f64::from(u8::from(patient.malignant))).collect();
        Descent { columns, intercept: 0.0, rows, labels }
    }

    /// The model as it stands.
    pub(super) fn model(&self) -> Model {
        Model { columns: self.columns.clone(), intercept: self.intercept }
    }
}

impl Trainable for Descent {
    /// The weights, and the intercept after them.
    type Checkpoint = Vec<f64>;

    /// The loss is the mean cross-entropy with half the ridge's share of the squared weights.
    fn step(&mut self) -> Result<f64, StepError> {
        let count = self.rows.len() as f64;
        let mut slopes = vec![0.0; self.columns.len()];
        let (mut slope, mut loss) = (0.0, 0.0);
        for (row, label) in self.rows.iter().zip(&self.labels) {
            let score: f64 = self.columns.iter().zip(row).map(|(column, value)| column.weight * value).sum();
            let probability = 1.0 / (1.0 + (-(score + self.intercept)).exp());
            let error = probability - label;
            for (sum, value) in slopes.iter_mut().zip(row) {
                *sum += error * value;
            }
            slope += error;
            loss -= if *label > 0.5 { probability.max(1e-12).ln() } else { (1.0 - probability).max(1e-12).ln() };
        }
        for (column, sum) in self.columns.iter_mut().zip(slopes) {
            loss += 0.5 * RIDGE * column.weight * column.weight;
            column.weight -= RATE * (sum + RIDGE * column.weight) / count;
        }
        self.intercept -= RATE * slope / count;
        Ok(loss / count)
    }

    fn save(&self) -> Vec<f64> {
        self.columns.iter().map(|column| column.weight).chain([self.intercept]).collect()
    }

    fn restore(&mut self, weights: &Vec<f64>) {
        for (column, weight) in self.columns.iter_mut().zip(weights) {
            column.weight = *weight;
        }
        self.intercept = weights.last().copied().unwrap_or_default();
    }
}

impl Column {
    fn measure(patients: &[Patient], index: usize) -> Column {
        let count = patients.len() as f64;
        let mean = patients.iter().map(|patient| patient.values[index]).sum::<f64>() / count;
        let variance = patients.iter().map(|patient| (patient.values[index] - mean).powi(2)).sum::<f64>() / count;
        Column { index, mean, deviation: variance.sqrt().max(f64::EPSILON), weight: 0.0 }
    }

    fn standardise(&self, values: &[f64; COLUMNS]) -> f64 {
        (values[self.index] - self.mean) / self.deviation
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::DataSet;
    use super::*;

    #[test]
    fn all_columns_beat_a_few_on_rows_never_seen() {
        let data = DataSet::load().unwrap();
        let mut full = Descent::new(&data.training, &(0..COLUMNS).collect::<Vec<_>>());
        for _ in 0..300 {
            full.step().unwrap();
        }
        let full = full.model();
        let few = Model::train(&data.training, &super::super::peers::SMALL_COLUMNS).unwrap();
        let (full, few) = (full.accuracy(&data.held_out), few.accuracy(&data.held_out));
        assert!(full > 0.96, "{full}");
        assert!(few > 0.88 && few < full, "{few}");
    }
}
