"""Activity–weight duality: data → training → geometry → claims → figures, for one config at a time.

snakemake --cores all                                    the default config, config/config.yaml
snakemake --cores all --configfile config/mnist.yaml     another one, laid over the default
snakemake claims                                         judge the claims again from the numbers that lie there
snakemake figures                                        redraw figures/<name>/ from the numbers that lie there
snakemake audit                                          check results and figures against the records of their jobs
"""

from snakemake.utils import min_version

min_version("9.25")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


wildcard_constraints:
    shard="|".join(map(re.escape, SHARDS)),
    figure="|".join(figure_names()),


include: "workflow/rules/plan.smk"
include: "workflow/rules/data.smk"


if LEARNERS:

    include: "workflow/rules/learners.smk"

else:

    include: "workflow/rules/training.smk"
    include: "workflow/rules/geometry.smk"
    include: "workflow/rules/numbers.smk"
    include: "workflow/rules/claims.smk"


include: "workflow/rules/figures.smk"
include: "workflow/rules/provenance.smk"


rule all:
    """Everything that the config asks for: results, verdicts, and the figures drawn from them."""
    default_target: True
    input:
        RESULTS / "plan.json",
        training_outputs(),
        geometry_outputs(),
        null_outputs(),
        RESULTS / "claims.json",
        figure_outputs(),
        FIGURES / "provenance.json",
        record("seal"),
