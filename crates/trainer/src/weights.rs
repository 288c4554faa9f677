//! The numbers in a checkpoint's files: all finite, or not. Files are read in pieces, whatever their size.
//!
//! Read are `.npy` (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>), `.npz` (a zip of those) and
//! `.safetensors` (<https://huggingface.co/docs/safetensors>; its crate wants the whole file in memory). Pickles are not: what
//! is in them only running them tells.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use zip::ZipArchive;

/// Bytes that are looked at once; a multiple of every number's width.
const PIECE: usize = 1 << 16;
/// Longest header of a file.
const HEADER_MAX: u64 = 100 << 20;
/// Directories within directories.
const DEPTH_MAX: usize = 16;

/// Reads all files below `path` whose format is known. The error: what is not finite, or why nothing can be said.
pub(crate) fn check(path: &Path, cancel: &AtomicBool) -> Result<String, String> {
    let mut files = Vec::new();
    list(path, 0, &mut files).map_err(|error| error.to_string())?;
    let mut count = 0;
    for file in &files {
        let named = |why: String| format!("{}: {why}", file.strip_prefix(path).unwrap_or(file).display());
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let checked = match ending {
            "npy" => open(file).and_then(|file| npy(file, cancel)),
            "npz" => npz(file, cancel),
            _ => safetensors(file, cancel),
        };
        count += checked.map_err(named)?;
    }
    if count == 0 {
        return Err("no numbers were found in files of .npy, .npz or .safetensors".to_owned());
    }
    Ok(format!("{count} numbers"))
}

fn list(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let known = path.extension().is_some_and(|ending| ["npy", "npz", "safetensors"].iter().any(|of| ending == *of));
        if kind.is_dir() && depth < DEPTH_MAX {
            list(&path, depth + 1, files)?;
        } else if kind.is_file() && known {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

fn open(path: &Path) -> Result<BufReader<File>, String> {
    File::open(path).map(BufReader::new).map_err(|error| error.to_string())
}

/// How a number that is not finite is told: by all bits of its exponent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Float {
    width: usize,
    exponent: u64,
    big_endian: bool,
}

impl Float {
    const fn little(width: usize, exponent: u64) -> Float {
        Float { width, exponent, big_endian: false }
    }

    fn is_finite(self, bytes: &[u8]) -> bool {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        let bits = if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
        bits & self.exponent != self.exponent
    }
}

const F16: Float = Float::little(2, 0x7c00);
const BF16: Float = Float::little(2, 0x7f80);
const F32: Float = Float::little(4, 0x7f80_0000);
const F64: Float = Float::little(8, 0x7ff0_0000_0000_0000);
const F8_E5M2: Float = Float::little(1, 0x7c);
/// It has no infinity; all ones are no number.
const F8_E4M3: Float = Float::little(1, 0x7f);

fn scan(mut from: impl Read, float: Float, cancel: &AtomicBool) -> Result<u64, String> {
    let (mut piece, mut count) = (vec![0; PIECE], 0_u64);
    loop {
        let mut filled = 0;
        while filled < PIECE {
            match from.read(&mut piece[filled..]).map_err(|error| error.to_string())? {
                0 => break,
                more => filled += more,
            }
        }
        if filled % float.width != 0 {
            return Err("it ends within a number".to_owned());
        }
        for bytes in piece[..filled].chunks_exact(float.width) {
            if !float.is_finite(bytes) {
                return Err(format!("number {count} is not finite"));
            }
            count += 1;
        }
        if filled < PIECE {
            return Ok(count);
        }
        if cancel.load(Ordering::Relaxed) {
            return Err("broken off".to_owned());
        }
    }
}

fn npz(path: &Path, cancel: &AtomicBool) -> Result<u64, String> {
    let mut archive = ZipArchive::new(open(path)?).map_err(|error| error.to_string())?;
    let mut count = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = entry.name().map(Cow::into_owned).map_err(|error| error.to_string())?;
        count += npy(entry, cancel).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(count)
}

fn npy(mut from: impl Read, cancel: &AtomicBool) -> Result<u64, String> {
    let mut start = [0; 8];
    from.read_exact(&mut start).map_err(|error| error.to_string())?;
    if &start[..6] != b"\x93NUMPY" {
        return Err("it is no .npy".to_owned());
    }
    let size = if start[6] == 1 {
        let mut size = [0; 2];
        from.read_exact(&mut size).map(|()| u64::from(u16::from_le_bytes(size)))
    } else {
        let mut size = [0; 4];
        from.read_exact(&mut size).map(|()| u64::from(u32::from_le_bytes(size)))
    };
    let header = text(&mut from, size.map_err(|error| error.to_string())?)?;
    let (_, rest) = header.split_once("'descr':").ok_or("its header says no type")?;
    let described = rest.trim_start().strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let (described, _) = described.ok_or("numbers of a structure cannot be read")?;
    let float = match described.trim_start_matches(['<', '>', '=', '|']) {
        "f2" => F16,
        "f4" | "c8" => F32,
        "f8" | "c16" => F64,
        other if other.starts_with(['i', 'u', 'b', 'U', 'S', 'M', 'm']) => {
            // Integers, words and moments are always finite; reading to the end checks a zip's sum.
            return io::copy(&mut from, &mut io::sink()).map(|_| 0).map_err(|error| error.to_string());
        }
        other => return Err(format!("numbers of type `{other}` cannot be read")),
    };
    scan(from, Float { big_endian: described.starts_with('>'), ..float }, cancel)
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    data_offsets: (u64, u64),
}

fn safetensors(path: &Path, cancel: &AtomicBool) -> Result<u64, String> {
    let mut file = open(path)?;
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|error| error.to_string())?;
    let size = u64::from_le_bytes(size);
    let header = text(&mut file, size)?;
    let mut header: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&header).map_err(|error| format!("its header: {error}"))?;
    header.remove("__metadata__");
    let mut count = 0;
    for (name, tensor) in header {
        let tensor: Tensor = serde_json::from_value(tensor).map_err(|error| format!("{name}: {error}"))?;
        let float = match tensor.dtype.as_str() {
            "F16" => F16,
            "BF16" => BF16,
            "F32" | "C64" => F32,
            "F64" => F64,
            "F8_E5M2" => F8_E5M2,
            "F8_E4M3" => F8_E4M3,
            "BOOL" | "U8" | "I8" | "U16" | "I16" | "U32" | "I32" | "U64" | "I64" => continue,
            other => return Err(format!("{name}: numbers of type `{other}` cannot be read")),
        };
        let (from, to) = tensor.data_offsets;
        let length = to.checked_sub(from).ok_or_else(|| format!("{name}: it ends before it begins"))?;
        file.seek(SeekFrom::Start(8 + size + from)).map_err(|error| error.to_string())?;
        let found = scan((&mut file).take(length), float, cancel).map_err(|why| format!("{name}: {why}"))?;
        if found * float.width as u64 != length {
            return Err(format!("{name}: the file ends within it"));
        }
        count += found;
    }
    Ok(count)
}

fn text(from: &mut impl Read, size: u64) -> Result<String, String> {
    if size > HEADER_MAX {
        return Err(format!("a header of {size} bytes"));
    }
    let mut header = String::new();
    let read = from.take(size).read_to_string(&mut header).map_err(|error| error.to_string())?;
    if read as u64 == size { Ok(header) } else { Err("its header is cut off".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn array(kind: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (), }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        file.extend(header.bytes());
        file.extend(data);
        file
    }

    fn tensors(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.extend(data);
        file
    }

    fn asked(name: &str, content: &[u8]) -> Result<String, String> {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("below")).unwrap();
        fs::write(place.path().join("below").join(name), content).unwrap();
        check(place.path(), &AtomicBool::new(false))
    }

    #[test]
    fn arrays_of_every_width_and_order() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let short = bad as f32;
            assert!(asked("a.npy", &array("<f8", &bad.to_le_bytes())).unwrap_err().contains("number 0 is not finite"));
            assert!(asked("a.npy", &array(">f8", &bad.to_be_bytes())).is_err());
            assert!(asked("a.npy", &array("<f4", &short.to_le_bytes())).is_err());
        }
        assert!(asked("a.npy", &array("<f2", &[0x00, 0x7e])).is_err());
        assert_eq!(asked("a.npy", &array("<f2", &[0xff, 0x7b])).unwrap(), "1 numbers", "65504, the largest");
        assert_eq!(asked("a.npy", &array("<f8", &f64::MAX.to_le_bytes())).unwrap(), "1 numbers");
        assert_eq!(
            asked("a.npy", &array(">f8", &[1.0_f64, -0.0].map(f64::to_be_bytes).concat())).unwrap(),
            "2 numbers"
        );
        let mut far = vec![0; 5 * PIECE];
        far.extend(f32::NAN.to_le_bytes());
        assert!(asked("a.npy", &array("<f4", &far)).unwrap_err().contains(&format!("number {}", 5 * PIECE / 4)));
    }

    #[test]
    fn what_cannot_be_read_does_not_pass() {
        assert!(asked("weights.bin", b"pickled").unwrap_err().contains("no numbers"));
        assert!(asked("a.npy", &array("<i8", &[0; 16])).unwrap_err().contains("no numbers"));
        assert!(asked("a.npy", &array("|O", &[0; 16])).is_err());
        assert!(asked("a.npy", &array("<f8", &[0; 15])).unwrap_err().contains("ends within"));
        assert!(asked("a.npy", b"\x93NUMPY\x01\x00\xff\xff{").is_err());
        assert!(asked("a.safetensors", &u64::MAX.to_le_bytes()).is_err());
        assert!(asked("a.npz", b"PK nothing").is_err());
    }

    #[test]
    fn archives_stored_and_compressed_and_damaged() {
        use zip::CompressionMethod::{Deflated, Stored};
        for method in [Stored, Deflated] {
            let packed = |value: f64| {
                let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
                let options = zip::write::SimpleFileOptions::default().compression_method(method);
                archive.start_file("w.npy", options).unwrap();
                archive.write_all(&array("<f8", &[value; 500].map(f64::to_le_bytes).concat())).unwrap();
                archive.finish().unwrap().into_inner()
            };
            assert_eq!(asked("a.npz", &packed(1.5)).unwrap(), "500 numbers");
            assert!(asked("a.npz", &packed(f64::NAN)).unwrap_err().contains("w.npy: number 0"));
        }
    }

    #[test]
    fn tensors_by_their_offsets() {
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"n":{"dtype":"I64","shape":[1],"data_offsets":[4,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#;
        let data = |last: f32| [&[0x80, 0x3f, 0x00, 0xc0][..], &[0xff; 8], &last.to_le_bytes()].concat();
        assert_eq!(asked("m.safetensors", &tensors(header, &data(2.0))).unwrap(), "3 numbers");
        assert!(asked("m.safetensors", &tensors(header, &data(f32::INFINITY))).unwrap_err().contains("b: number 0"));
        assert!(asked("m.safetensors", &tensors(header, &data(2.0)[..14])).is_err());
        assert!(F8_E4M3.is_finite(&[0x7e]));
        assert!(!F8_E4M3.is_finite(&[0xff]) && !F8_E5M2.is_finite(&[0x7c]));
    }
}
