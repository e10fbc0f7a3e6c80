//! `p t`: the mean of a critic's scores, up where t is 1 and down where it is -1. What a Wasserstein GAN
//! minimises (Arjovsky et al. 2017), with t = -1 for real and 1 for generated samples; and a hinge GAN's
//! generator. No word of `loss`: [`crate::model::gan`] uses it.

use crate::losses::Loss;
use crate::losses::pair::pairs;

/// The loss.
pub fn wasserstein() -> Box<dyn Loss> {
    Box::new(Critic {})
}

pairs! {
    Critic {} "wasserstein" Mean
        value(self, p, t) p * t,
        slope(self, p, t) t + 0.0 * p,
        twin(self, p, t) p * t;
}
