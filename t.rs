fn main(){ println!("{}", is_x86_feature_detected!("amx-bf16")); }
