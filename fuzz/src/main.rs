fn main() { println!("{:?}", wgraft::data::MOST_SIDE) }
