//! What messages mean beside a query, as an embedder told it: one more row to match, next to those of the query's words.

/// What the nearest meaning counts beside all words of the query together, in talk of two; in a group's it counts only where no word is
/// found, since there the subject runs over many messages, and one alone seldom tells it.
///
/// Measured with the mean of a static table's token rows (docs/retention.md), in points of evidence: it gains 0.6 on English chat, and 0.25,
/// 0.5 and 1 would gain 0.4, lose 0.4 and lose 2.2. Counted in meetings too, it loses 0.2 there, and 1 loses 8. Added to the match itself
/// instead of being spread like a word's, 0.1 gains 0.1 on chat; a match times up to 2 gains 0.2.
pub(crate) const MEANING_WEIGHT: f32 = 0.1;

/// By message: how much nearer than most its meaning is to the query's, 1 for the nearest. None if none is nearer than another.
///
/// `similarity` holds cosines; messages past its end are as far as most. The message that asks answers nothing.
pub(crate) fn meanings(similarity: &[f32], n_messages: usize, asked_by: Option<usize>) -> Option<Vec<f32>> {
    let told = || similarity.iter().enumerate().take(n_messages).filter(|&(i, _)| asked_by != Some(i));
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 24 bits")]
    let mean = told().map(|(_, cosine)| cosine).sum::<f32>() / told().count().max(1) as f32;
    let range = told().map(|(_, &cosine)| cosine).fold(mean, f32::max) - mean;
    if range <= f32::EPSILON {
        return None;
    }
    let mut meanings = vec![0.0; n_messages];
    for (i, cosine) in told() {
        meanings[i] = ((cosine - mean) / range).clamp(0.0, 1.0);
    }
    Some(meanings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_one_and_most_are_nothing() {
        let found = meanings(&[0.1, 0.1, 0.9, 0.5, 0.1], 6, None).unwrap();
        assert!((found[2] - 1.0).abs() < 1e-6 && found[3] > 0.1 && found[3] < 0.5, "{found:?}");
        assert!([0, 1, 4, 5].iter().all(|&i| found[i] <= 0.0), "{found:?}");
    }

    #[test]
    fn the_message_that_asks_is_not_told() {
        let found = meanings(&[0.1, 0.4, 1.0], 3, Some(2)).unwrap();
        assert_eq!(found, [0.0, 1.0, 0.0]);
    }

    #[test]
    fn meanings_that_are_all_alike_say_nothing() {
        for similarity in [&[][..], &[0.3], &[0.3; 9]] {
            assert_eq!(meanings(similarity, 9, None), None);
        }
        assert_eq!(meanings(&[0.3, 0.9], 1, None), None);
    }
}
