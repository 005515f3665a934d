//! Products in every storage format against their definition.

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QTensor},
};

use super::{Linear, Matrix};
use crate::settings::Precision;

const INPUTS: usize = 768;
const OUTPUTS: usize = 208;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).expect("16 bits")) / 32_768.0 - 1.0
        })
        .collect()
}

fn weights() -> Tensor {
    Tensor::from_vec(numbers(OUTPUTS * INPUTS, 1), (OUTPUTS, INPUTS), &Device::Cpu)
        .expect("shape fits")
}

/// The matrix in the format, and what it is worth as plain numbers.
fn matrix(format: Option<GgmlDType>, precision: Precision) -> (Matrix, Tensor) {
    match format {
        None => {
            let rounded =
                weights().to_dtype(precision.dtype()).unwrap().to_dtype(DType::F32).unwrap();
            (Matrix::Dense(weights()), rounded)
        }
        Some(format) => {
            let blocks =
                QTensor::quantize(&weights(), format).expect("768 is a multiple of every block");
            let worth = blocks.dequantize(&Device::Cpu).unwrap();
            (Matrix::Blocks(blocks), worth)
        }
    }
}

const FORMATS: [Option<GgmlDType>; 11] = [
    None,
    Some(GgmlDType::Q4_0),
    Some(GgmlDType::Q4_1),
    Some(GgmlDType::Q5_0),
    Some(GgmlDType::Q5_1),
    Some(GgmlDType::Q8_0),
    Some(GgmlDType::Q2K),
    Some(GgmlDType::Q3K),
    Some(GgmlDType::Q4K),
    Some(GgmlDType::Q5K),
    Some(GgmlDType::Q6K),
];

#[test]
fn every_format_multiplies_as_its_plain_numbers_do() {
    let input = numbers(5 * INPUTS, 2);
    for format in FORMATS {
        let (matrix, worth) = matrix(format, Precision::F32);
        let linear = Linear::new(vec![matrix], None, Precision::F32).expect("supported");
        let found = linear.forward(&input, 5).expect("computes");
        let activations = Tensor::from_slice(&input, (5, INPUTS), &Device::Cpu).unwrap();
        let expected: Vec<f32> = activations
            .matmul(&worth.t().unwrap())
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        // K-quant kernels round the activations to 8 bits, the others keep them.
        let tolerance = if matches!(
            format,
            Some(
                GgmlDType::Q2K | GgmlDType::Q3K | GgmlDType::Q4K | GgmlDType::Q5K | GgmlDType::Q6K
            )
        ) {
            0.5
        } else {
            1e-3
        };
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < tolerance, "{format:?}: {worst}");
        for token in [0, 100, OUTPUTS - 1] {
            let row: Vec<f32> = worth.get(token).unwrap().to_vec1().unwrap();
            assert_eq!(linear.output_weights(token).expect("inside"), row, "{format:?}");
        }
        assert!(linear.output_weights(OUTPUTS).is_err());
    }
}

#[test]
fn a_row_gives_the_same_bits_for_every_number_of_rows() {
    let input = numbers(40 * INPUTS, 3);
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        for format in FORMATS {
            let linear =
                Linear::new(vec![matrix(format, precision).0], None, precision).expect("supported");
            let all = linear.forward(&input, 40).expect("computes");
            for rows in [1, 2, 3, 7, 16] {
                let some = linear.forward(&input[..rows * INPUTS], rows).expect("computes");
                assert!(some == all[..rows * OUTPUTS], "{precision:?} {format:?} {rows}");
            }
        }
    }
}

#[test]
fn sixteen_bits_round_weights_and_activations() {
    let input = numbers(INPUTS, 4);
    for precision in [Precision::F16, Precision::Bf16] {
        let (matrix, worth) = matrix(None, precision);
        let linear = Linear::new(vec![matrix], None, precision).expect("supported");
        let rounded = Tensor::from_slice(&input, (1, INPUTS), &Device::Cpu)
            .and_then(|input| input.to_dtype(precision.dtype())?.to_dtype(DType::F32))
            .unwrap();
        let expected: Vec<f32> =
            rounded.matmul(&worth.t().unwrap()).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let found = linear.forward(&input, 1).expect("computes");
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3), "{precision:?}");
        let wide =
            Linear::new(vec![Matrix::Dense(weights())], None, Precision::F32).expect("supported");
        assert_eq!(2 * linear.bytes(), wide.bytes());
    }
}

#[test]
fn outputs_of_several_matrices_stand_side_by_side_with_their_bias() {
    let (first, second) =
        (matrix(None, Precision::F32).0, matrix(Some(GgmlDType::Q8_0), Precision::F32).0);
    let bias: Vec<f32> = numbers(2 * OUTPUTS, 5);
    let input = numbers(INPUTS, 6);
    let alone = |matrix| {
        Linear::new(vec![matrix], None, Precision::F32).unwrap().forward(&input, 1).unwrap()
    };
    let mut expected = [
        alone(matrix(None, Precision::F32).0),
        alone(matrix(Some(GgmlDType::Q8_0), Precision::F32).0),
    ]
    .concat();
    expected.iter_mut().zip(&bias).for_each(|(value, bias)| *value += bias);
    let linear = Linear::new(vec![first, second], Some(bias), Precision::F32).unwrap();
    assert_eq!(linear.forward(&input, 1).unwrap(), expected);
}
