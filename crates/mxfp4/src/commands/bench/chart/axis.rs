//! An axis: where numbers stand on it, and which of them are written.

/// How many numbers are written beside an axis, at most.
const MOST: usize = 6;
/// What is left free at each end of a logarithmic axis, as a factor.
const ROOM: f64 = 1.5;

/// An axis from a lowest to a highest number.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it counts.
    pub title: String,
    scale: Scale,
    low: f64,
    high: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Linear,
    /// Marks are powers of the base.
    Log(f64),
}

impl Axis {
    /// A logarithmic axis that holds `numbers`, all above 0, with marks at powers of `base`.
    pub fn logarithmic(
        title: impl Into<String>,
        base: f64,
        numbers: impl Iterator<Item = f64>,
    ) -> Self {
        let (low, high) = numbers.fold((f64::INFINITY, 0.0_f64), |(low, high), number| {
            (low.min(number), high.max(number))
        });
        let (low, high) = if low > high { (1.0, base) } else { (low, high) };
        Self {
            title: title.into(),
            scale: Scale::Log(base),
            low: low / ROOM,
            high: high * ROOM,
        }
    }

    /// An axis from 0 to beyond the largest of `numbers`.
    pub fn from_zero(title: impl Into<String>, numbers: impl Iterator<Item = f64>) -> Self {
        let high = numbers.fold(0.0, f64::max);
        Self {
            title: title.into(),
            scale: Scale::Linear,
            low: 0.0,
            high: if high > 0.0 { high * 1.08 } else { 1.0 },
        }
    }

    /// Its lowest and highest number.
    pub fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Where `number` stands: 0 is the low end, 1 the high one.
    pub fn share(&self, number: f64) -> f64 {
        match self.scale {
            Scale::Linear => (number - self.low) / (self.high - self.low),
            Scale::Log(_) => (number / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// The numbers that are written beside it.
    pub fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.multiples(),
            Scale::Log(base) => self.powers(base),
        }
    }

    /// Multiples of 1, 2 or 5 times a power of ten.
    fn multiples(&self) -> Vec<f64> {
        let rough = self.high / MOST as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|digit| digit * power)
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(10.0 * power);
        let count = (self.high / step).floor() as usize;
        (0..=count).map(|number| number as f64 * step).collect()
    }

    /// Powers of `base`, every second or third where they are many.
    fn powers(&self, base: f64) -> Vec<f64> {
        let exponent = |number: f64| number.ln() / base.ln();
        let first = exponent(self.low).ceil() as i32;
        let last = exponent(self.high).floor() as i32;
        let count = usize::try_from(last - first + 1).unwrap_or(0);
        let step = count.div_ceil(MOST).max(1);
        (first..=last)
            .step_by(step)
            .map(|power| base.powi(power))
            .collect()
    }
}

/// A number beside an axis, without needless digits.
pub fn written(number: f64) -> String {
    if number >= 10_000.0 && number % 1000.0 == 0.0 {
        return format!("{:.0}k", number / 1000.0);
    }
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number beside a point, with three digits that count or more.
pub fn rounded(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_an_axis() {
        for (number, text) in [
            (1000.0, "1000"),
            (1.0, "1"),
            (0.5, "0.5"),
            (0.01, "0.01"),
            (0.0, "0"),
            (20_000.0, "20k"),
        ] {
            assert_eq!(written(number), text);
        }
    }

    #[test]
    fn marks_are_few_and_round() {
        let tokens = (0..14).map(|power| f64::from(1 << power));
        let axis = Axis::logarithmic("tokens", 2.0, tokens);
        assert_eq!(axis.marks(), [1.0, 8.0, 64.0, 512.0, 4096.0]);
        let axis = Axis::logarithmic("us", 10.0, [15.0, 3000.0].into_iter());
        assert_eq!(axis.marks(), [10.0, 100.0, 1000.0]);
        let axis = Axis::from_zero("ratio", [1.88, 1.04].into_iter());
        assert_eq!(axis.marks(), [0.0, 0.5, 1.0, 1.5, 2.0]);
        let axis = Axis::from_zero("tok/s", [25_909.0].into_iter());
        assert_eq!(
            axis.marks(),
            [0.0, 5000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0]
        );
    }

    #[test]
    fn nothing_to_show_is_an_axis_all_the_same() {
        for axis in [
            Axis::from_zero("nothing", std::iter::empty()),
            Axis::logarithmic("nothing", 2.0, std::iter::empty()),
            Axis::logarithmic("one", 10.0, [7.0].into_iter()),
        ] {
            let share = axis.share(1.0);
            assert!(share.is_finite(), "{axis:?}");
            assert!(axis.marks().iter().all(|mark| mark.is_finite()), "{axis:?}");
        }
    }
}
