//! The battery over layers that heed masks.

use crate::testing::battery::check_masked;

#[test]
fn masked_steps_leave_the_state_as_it_is() {
    for layer in [
        "type = \"SimpleRNN\"\nunits = 2",
        "type = \"SimpleRNN\"\nunits = 2\nreturn_sequences = true\ngo_backwards = true",
        "type = \"LSTM\"\nunits = 2",
        "type = \"LSTM\"\nunits = 2\nreturn_sequences = true\nrecurrent_dropout = 0.5",
        "type = \"LSTM\"\nunits = 17\ngo_backwards = true",
        "type = \"GRU\"\nunits = 2",
        "type = \"GRU\"\nunits = 2\nreturn_sequences = true\nrecurrent_dropout = 0.5",
        "type = \"GRU\"\nunits = 2\nreset_after = false\nrecurrent_dropout = 0.5",
        "type = \"GRU\"\nunits = 2\nreset_after = false\nreturn_sequences = true",
        "type = \"Bidirectional\"\nlayer = { type = \"LSTM\", units = 2 }",
        "type = \"Bidirectional\"\nlayer = { type = \"GRU\", units = 2, return_sequences = true }",
    ] {
        check_masked(layer, &[&[4, 2]]);
    }
}
