//! Logistic regression on standardised columns: small, real, learnt in milliseconds at the start.

use ring::digest::{Context, SHA256};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

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
        let full = Model::train(&data.training, &(0..COLUMNS).collect::<Vec<_>>()).unwrap();
        let few = Model::train(&data.training, &super::super::peers::SMALL_COLUMNS).unwrap();
        let (full, few) = (full.accuracy(&data.held_out), few.accuracy(&data.held_out));
        assert!(full > 0.96, "{full}");
        assert!(few > 0.88 && few < full, "{few}");
    }
}
