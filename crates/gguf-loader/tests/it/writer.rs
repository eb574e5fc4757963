//! What is written is read back; what the reader refuses is not written.

use rocmforge_gguf_loader::{Array, GgmlType, Gguf, GgufError, Metadata, TensorSink, Value, Writer};

use crate::assert_error;

fn everything() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    let scalars = [
        Value::U8(1),
        Value::I8(-1),
        Value::U16(2),
        Value::I16(-2),
        Value::U32(3),
        Value::I32(-3),
        Value::F32(0.1),
        Value::Bool(true),
        Value::String("naïve \n text".into()),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::F64(0.1),
    ];
    let arrays = [
        Array::U8(vec![0, 255]),
        Array::I8(vec![-128, 127]),
        Array::U16(vec![1]),
        Array::I16(vec![-1]),
        Array::U32(vec![1, 2, 3]),
        Array::I32(vec![-1, 1]),
        Array::F32(vec![f32::INFINITY, -0.0]),
        Array::Bool(vec![true, false]),
        Array::String(vec![Box::from(b"\xff".as_slice()), Box::from(b"".as_slice())]),
        Array::U64(vec![]),
        Array::I64(vec![i64::MAX]),
        Array::F64(vec![1e300]),
    ];
    for value in scalars.into_iter().chain(arrays.map(Value::Array)) {
        metadata.insert(format!("key.{}", metadata.len()), value);
    }
    metadata
}

fn fill(sink: &mut TensorSink<Vec<u8>>) {
    let mut next = 0_u8;
    while let Some(tensor) = sink.next_tensor() {
        let bytes: Vec<u8> = (0..tensor.size)
            .map(|_| {
                next = next.wrapping_add(1);
                next
            })
            .collect();
        sink.write_tensor(&bytes).unwrap();
    }
}

#[test]
fn round_trip() {
    let mut writer = Writer::new(everything());
    writer.set_alignment(64);
    writer.add("a", [3], GgmlType::F32).add("b", [256, 3], GgmlType::Q4_K).add("c", [32, 2, 2, 2], GgmlType::Q8_0);
    let mut metadata = everything();
    metadata.insert("general.alignment", 64_u32);

    let mut sink = writer.begin(Vec::new()).unwrap();
    fill(&mut sink);
    let file = sink.finish().unwrap();
    assert_eq!(file.len() % 64, 0);
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!((gguf.version(), gguf.alignment()), (3, 64));
    assert_eq!(gguf.warnings(), []);
    assert_eq!(gguf.metadata(), &metadata);
    let keys = |metadata: &Metadata| metadata.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
    assert_eq!(keys(gguf.metadata()), keys(&metadata));
    let mut next = 0_u8;
    for (tensor, size) in gguf.tensors().iter().zip([12, 432, 272]) {
        assert_eq!((tensor.size, tensor.offset % 64), (size, 0));
        for byte in gguf.data(tensor) {
            next = next.wrapping_add(1);
            assert_eq!(*byte, next);
        }
    }
    assert_eq!(gguf.tensor("c").unwrap().shape(), [2, 2, 2, 32]);

    // Once more from what was read: the same bytes.
    let mut writer = Writer::new(gguf.metadata().clone());
    for tensor in gguf.tensors() {
        writer.add(&tensor.name, tensor.dims.clone(), tensor.ty);
    }
    let mut sink = writer.begin(Vec::new()).unwrap();
    for tensor in gguf.tensors() {
        sink.write_tensor(gguf.data(tensor)).unwrap();
    }
    assert_eq!(sink.finish().unwrap(), file);
}

#[test]
fn vocabulary_only_file() {
    let file = Writer::new(everything()).begin(Vec::new()).unwrap().finish().unwrap();
    let gguf = Gguf::parse(file).unwrap();
    assert_eq!((gguf.tensors().len(), gguf.warnings().len()), (0, 0));
}

#[test]
fn pieces_and_wholes_give_one_file() {
    let begin = || {
        let mut writer = Writer::new(Metadata::new());
        writer.add("a", [5], GgmlType::F32).add("b", [2], GgmlType::F32);
        writer.begin(Vec::new()).unwrap()
    };
    let mut whole = begin();
    whole.write_tensor(&[1; 20]).unwrap();
    whole.write_tensor(&[2; 8]).unwrap();
    let mut pieces = begin();
    for piece in [[1; 7].as_slice(), &[], &[1; 13], &[2; 1], &[2; 7]] {
        pieces.write_piece(piece).unwrap();
    }
    assert_eq!(whole.finish().unwrap(), pieces.finish().unwrap());
}

#[test]
fn wrong_amounts_of_data() {
    let begin = || {
        let mut writer = Writer::new(Metadata::new());
        writer.add("a", [2], GgmlType::F32);
        writer.begin(Vec::new()).unwrap()
    };
    assert_error!(begin().write_tensor(&[0; 7]), Err(GgufError::DataLength { expected: 8, found: 7, .. }));
    assert_error!(begin().write_piece(&[0; 9]), Err(GgufError::DataLength { expected: 8, found: 9, .. }));
    assert_error!(begin().finish(), Err(GgufError::DataLength { found: 0, .. }));
    let mut full = begin();
    full.write_tensor(&[0; 8]).unwrap();
    assert_error!(full.write_tensor(&[]), Err(GgufError::DataLength { expected: 0, .. }));
    assert_error!(full.write_piece(&[0]), Err(GgufError::DataLength { expected: 0, found: 1, .. }));
}

#[test]
fn what_the_reader_refuses_is_not_written() {
    let with_key = |key: &str, value: Value| {
        let mut metadata = Metadata::new();
        metadata.insert(key, value);
        Writer::new(metadata).begin(Vec::new()).map(drop)
    };
    assert_error!(with_key("", 1_u32.into()), Err(GgufError::BadKey { .. }));
    assert_error!(with_key("a\nb", 1_u32.into()), Err(GgufError::BadKey { .. }));
    assert_error!(with_key("general.alignment", 12_u32.into()), Err(GgufError::BadAlignment { found: 12, .. }));
    assert_error!(with_key("general.alignment", 0_u32.into()), Err(GgufError::BadAlignment { found: 0, .. }));
    assert_error!(with_key("general.alignment", "32".into()), Err(GgufError::WrongType { .. }));

    let with_tensors = |tensors: &[(&str, &[u64], GgmlType)]| {
        let mut writer = Writer::new(Metadata::new());
        for (name, dims, ty) in tensors {
            writer.add(*name, *dims, *ty);
        }
        writer.begin(Vec::new()).map(drop)
    };
    let f32 = GgmlType::F32;
    assert_error!(with_tensors(&[("", &[1], f32)]), Err(GgufError::BadName { .. }));
    assert_error!(with_tensors(&[("a", &[], f32)]), Err(GgufError::BadDims { found: 0, .. }));
    assert_error!(with_tensors(&[("a", &[1; 5], f32)]), Err(GgufError::BadDims { found: 5, .. }));
    assert_error!(with_tensors(&[("a", &[0], f32)]), Err(GgufError::BadDims { .. }));
    assert_error!(with_tensors(&[("a", &[1 << 62], f32)]), Err(GgufError::SizeOverflow { .. }));
    assert_error!(with_tensors(&[("a", &[33], GgmlType::Q4_0)]), Err(GgufError::NotBlockMultiple { .. }));
    assert_error!(with_tensors(&[("a", &[1], f32), ("a", &[2], f32)]), Err(GgufError::DuplicateTensor { .. }));
}

#[test]
fn output_errors_are_passed_on() {
    let mut room = [0_u8; 10];
    let error = Writer::new(everything()).begin(room.as_mut_slice()).map(drop).unwrap_err();
    assert_error!(error, GgufError::Write(_));
}
