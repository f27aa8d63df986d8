"""The products of a sweep, one kind a file; `writing` writes them all."""

# What the sweep asks for until it makes `survey.swept.Swept`; then these go, and `before` too.
from cosmodeep_hpc.survey.products.before import Swept as Swept
from cosmodeep_hpc.survey.products.before import stem as stem
from cosmodeep_hpc.survey.products.before import write as write
