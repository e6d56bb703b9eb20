#!/bin/sh
# Trains the networks of the study (bench/suite/builtin/study-*.toml) on the photographs of 2,400 rendered people.
#
#   pip install 'personabench[render]' && sh results/scripts/train_study.sh
#
# Takes two hours on a CPU after the people are rendered, or one hour if two blocks run in parallel. Uses a GPU if there
# is one. Every command resumes from its checkpoint, so the script can be run again.
set -eu

bench train people

recipe="--timestep-power 2 --shortcut --out results/study-networks --checkpoints results/study-networks/checkpoints"
further="--steps 600 --learning-rate 7e-4"

# The mean aggregator first; the others continue from it.
bench train loo --aggregator mean $recipe --name loo-mean-first --steps 1800
for aggregator in mean max median deep-sets attention caption-attention concat; do
    bench train loo --aggregator $aggregator $recipe --name loo-$aggregator $further \
        --start results/study-networks/loo-mean-first.safetensors
done

# The controls: the same steps, but the target stays in the conditioning set.
bench train loo --aggregator mean $recipe --name ip-control-first --steps 1800 --no-leave-out --largest-set 1
bench train loo --aggregator mean $recipe --name ip-control $further --no-leave-out --largest-set 1 \
    --start results/study-networks/ip-control-first.safetensors
bench train loo --aggregator mean $recipe --name set-control-first --steps 1800 --no-leave-out
bench train loo --aggregator mean $recipe --name set-control $further --no-leave-out \
    --start results/study-networks/set-control-first.safetensors

# The ablations, with a quarter of the steps.
short="$recipe --aggregator mean --steps 600"
bench train loo $short --name short-mean
bench train loo $short --name short-aggregate --noising aggregate
bench train loo $short --name short-no-leave-out --no-leave-out
bench train loo $short --name short-blank --captions blank
bench train loo $short --name short-set-1 --largest-set 1
bench train loo $short --name short-tokens-4 --tokens 4
bench train loo $short --name short-tokens-16 --tokens 16
