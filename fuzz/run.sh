#!/bin/sh
# Builds the fuzz targets and runs each for FUZZ_SECONDS (15), or those that are
# named. What is found goes to target/fuzz; the committed corpus is only read.
set -eu
cd "$(dirname "$0")"
seconds=${FUZZ_SECONDS:-15}
found=../target/fuzz/found
# They would take the place of the counters that .cargo/config.toml asks for.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
targets=${*:-token jwks form secret feed strict_json}

command -v "${CXX:-c++}" >/dev/null \
  || { echo "libFuzzer is C++; run: sudo apt-get install g++, or set CXX"; exit 1; }
echo "Building the fuzz targets..."
cargo build --quiet --release --locked

for target in $targets; do
  mkdir -p "$found/$target"
  log=$found/$target.log
  dictionary=$found/$target.dict
  case $target in
    form | secret) cat "dictionaries/$target.dict" ;;
    strict_json) cat dictionaries/json.dict ;;
    *) cat dictionaries/json.dict "dictionaries/$target.dict" ;;
  esac >"$dictionary"
  if ! RUST_BACKTRACE=0 cargo run --quiet --release --locked --bin "$target" -- \
    "$found/$target" "corpus/$target" -dict="$dictionary" -artifact_prefix="$found/$target-" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 20 "$log"
    input=$(ls -t "$found/$target-"* 2>/dev/null | head -n 1)
    echo "$target failed on ${input#../}; again:"
    echo "  cd fuzz && cargo run --release --locked --bin $target -- $input"
    exit 1
  fi
  # Without counters it would be noise that is thrown at a parser.
  covered=$(sed -n 's/.*INITED cov: \([0-9]*\).*/\1/p' "$log")
  reached=$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$log")
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  test "${covered:-0}" -gt 0 || { tail "$log"; echo "$target reports no coverage"; exit 1; }
  echo "$target: $runs runs, $covered edges from the corpus, $reached after them"
done
