//! Arithmetic on the graph: one file per op, forward and its gradient side by side.

pub mod average_pool;
pub mod batch_norm;
pub mod batch_norm_inference;
pub mod channel_sums;
pub mod concatenate;
pub mod conv;
pub mod conv_bf16;
pub mod conv_pool;
pub mod depthwise;
pub mod dropout;
pub mod function;
pub mod gaussian_noise;
pub mod layer_norm;
pub mod map;
pub mod matmul;
pub mod matmul_bf16;
pub mod max_pool;
pub mod merge;
pub mod normalized;
pub mod pad;
pub mod pooling;
pub mod prelu;
pub mod recurrent;
pub mod softmax;
pub mod time;
pub mod transpose;
