//! dummy
use equipoise_benches::*;
fn main() {
    let cal = timing::calibration();
    println!("calibration {cal:.2}");
    let it = 300_000;
    let b = timing::median((0..9).map(|_| timing::nanos(it, floor::floor_b)).collect());
    println!("B {b:.1}");
    for n in SIZES {
        let fa = floor::FloorA::new(n);
        let a = timing::median((0..9).map(|_| timing::nanos(it, || fa.run())).collect());
        println!("n={n} A={a:.1}");
        for (name, s) in strategies() {
            for (wn, w) in [("eq", (|_| 1) as fn(usize) -> u32), ("123", |i| i as u32 % 3 + 1)] {
                let p = pool(&s, n, w);
                let v: Vec<f64> = (0..9).map(|_| timing::nanos(it, || pick(&p))).collect();
                let two = timing::median((0..5).map(|_| timing::two_to_one(it, || pick(&p))).collect());
                let m = timing::median(v);
                println!("  {name:12} {wn} {m:6.1} ns  {:.2} A   two {two:.2}", m / a);
            }
        }
    }
}
