use equipoise_benches::*;
fn main(){
    let a: Vec<String> = std::env::args().collect();
    let name = std::env::var("S").unwrap(); let n: usize = std::env::var("N").unwrap().parse().unwrap();
    let w: u32 = std::env::var("W").unwrap().parse().unwrap();
    let s = strategies().into_iter().find(|x| x.0 == name).unwrap().1;
    let p = pool(&s, n, |i| i as u32 % w + 1);
    let _ = a;
    println!("{:.1}", timing::nanos(20_000_000, || pick(&p)));
}
