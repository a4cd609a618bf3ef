/* base/mutant.h: rules broken on purpose, one at a time, in the simulators' builds only, which must
 * notice each (tests/sim/mutants.sh). A module lists its own as an enum of MUTANT_...; the
 * simulator's main sets `mr_mutant` before it starts. */
#ifndef MR_BASE_MUTANT_H
#define MR_BASE_MUTANT_H

#ifdef MR_MUTANTS
extern int mr_mutant;
#define MUTANT(name) (mr_mutant == MUTANT_##name)
#else
#define MUTANT(name) false
#endif

#endif
