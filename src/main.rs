fn main() {
    use mtl_zoo::{catalog::*, hub::*, recipe::*, train::*};
    let args: Vec<String> = std::env::args().collect();
    let cat = Catalog::standard().unwrap();
    let o: Vec<_> = args[3..].iter().map(|a| Override::parse(a).unwrap()).collect();
    let mut r = Recipe::load(RecipeSource::File(args[1].as_ref()), &o, &cat).unwrap();
    if let Ok(k) = std::env::var("KEEP") { r.keep_tasks(&[k]).unwrap(); }
    let src = cat.backbone_source(&r.backbone.id, None, ".".as_ref()).unwrap();
    let files = match src { BackboneSource::Folder(f) => resolve_backbone(f.to_str().unwrap(), None, &HubOptions::default()).unwrap(), _ => panic!() };
    let t = std::time::Instant::now();
    let p = Prepared::new(r, files).unwrap();
    eprintln!("prepared {:?}", t.elapsed());
    let run = Run::start(p, args[2].as_ref()).unwrap_or_else(|e| panic!("{e}"));
    eprintln!("steps {}", run.steps());
    struct O(std::time::Instant);
    impl Observer for O { fn event(&mut self, e: &Event) { match e {
        Event::Step(s) if s.step % 50 == 0 => eprintln!("{:?} step {} {:?} n {:.2}", self.0.elapsed(), s.step, s.report.losses, s.report.gradient_norm),
        Event::Evaluated(v) => eprintln!("{:?} {} {:?}", self.0.elapsed(), v.step, v.tasks.iter().map(|(k,s)| (k.clone(), s.metrics.values().next().cloned())).collect::<Vec<_>>()),
        _ => {} } } }
    match run.train(&mut O(t)).unwrap_or_else(|e| panic!("{e}")) { Outcome::Finished{manifest,..} => for (k,h) in &manifest.heads { println!("{k} {:?}", h.metrics.test) }, o => println!("{o:?}") }
    eprintln!("{:?}", t.elapsed());
}
