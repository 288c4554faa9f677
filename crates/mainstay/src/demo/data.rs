//! The data set: 569 tumours, 30 measurements each, and what they turned out to be.

/// As scikit-learn ships it; `data/NOTICE.md` holds source and licence.
const CSV: &str = include_str!("../../data/breast_cancer.csv");

/// Ten measurements of the cell nuclei, each given as mean, standard error and worst value.
pub(super) const MEASUREMENTS: [&str; 10] = [
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
];

/// How many numbers a row holds.
pub(super) const COLUMNS: usize = 3 * MEASUREMENTS.len();

/// One of three rows is held out: the models never learn from it, the traffic asks about nothing else.
const HELD_OUT_EVERY: usize = 3;

/// One tumour.
#[derive(Clone, Debug)]
pub(super) struct Patient {
    /// Its row in the file: the entity key.
    pub(super) id: usize,
    /// Means, standard errors, worst values.
    pub(super) values: [f64; COLUMNS],
    /// What it turned out to be.
    pub(super) malignant: bool,
}

impl Patient {
    /// What the caller sends: means and standard errors.
    pub(super) fn measured(&self) -> &[f64] {
        &self.values[..2 * MEASUREMENTS.len()]
    }

    /// What the feature store holds: the worst values.
    pub(super) fn stored(&self) -> &[f64] {
        &self.values[2 * MEASUREMENTS.len()..]
    }
}

/// The rows to learn from and the rows to be judged by.
#[derive(Clone, Debug)]
pub(super) struct DataSet {
    pub(super) training: Vec<Patient>,
    pub(super) held_out: Vec<Patient>,
}

impl DataSet {
    /// Reads the data set that the binary carries.
    pub(super) fn load() -> anyhow::Result<DataSet> {
        let patients: Vec<Patient> =
            CSV.lines().skip(1).enumerate().map(|(id, line)| parse(id, line)).collect::<anyhow::Result<_>>()?;
        let (held_out, training) = patients.into_iter().partition(|patient| patient.id % HELD_OUT_EVERY == 0);
        Ok(DataSet { training, held_out })
    }

    /// Every row, in no particular order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Patient> {
        self.training.iter().chain(&self.held_out)
    }
}

fn parse(id: usize, line: &str) -> anyhow::Result<Patient> {
    let mut fields = line.split(',');
    let mut values = [0.0; COLUMNS];
    for value in &mut values {
        *value = fields.next().unwrap_or_default().parse()?;
    }
    // The file writes 0 for malignant and 1 for benign.
    let malignant = match fields.next() {
        Some("0") => true,
        Some("1") => false,
        other => anyhow::bail!("row {id} of the data set has the class {other:?}"),
    };
    Ok(Patient { id, values, malignant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_complete() {
        let data = DataSet::load().unwrap();
        assert_eq!((data.training.len(), data.held_out.len()), (379, 190));
        assert_eq!(data.all().filter(|patient| patient.malignant).count(), 212);
        let first = &data.held_out[0];
        assert_eq!((first.id, first.values[0], first.stored()[0]), (0, 17.99, 25.38));
    }
}
