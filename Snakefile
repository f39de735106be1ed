"""Activity–weight duality and its companion papers, a study each: data → runs → tables → claims → figures.

snakemake --cores all                                    the quick size of every study, the main paper's first
snakemake --cores all --config size=full                 the full size of every study
snakemake --cores all --configfile config/mnist.yaml     one config; of the main paper, laid over config/config.yaml
snakemake claims                                         judge the main paper's claims again from the numbers that lie there
snakemake figures                                        redraw figures/<name>/ from the numbers that lie there
snakemake audit                                          check results and figures against the records of their jobs
"""

from snakemake.utils import min_version

min_version("9.25")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


OTHERS = other_configs()


include: "workflow/rules/study.smk"


# snakefmt: off
for study_name, study_config in OTHERS.items():
    study_rules = f"{study_name}_"

    module:
        name: study_name
        snakefile:
            "workflow/rules/study.smk"
        config:
            study_config

    use rule * from study_name as study_rules*


# snakefmt: on


RUN = [CONFIG, *(entry["resolved"] for entry in OTHERS.values())]
finished = attach(workflow, lambda: came_out(RUN), shown=("audit",))


onsuccess:
    finished()


rule all:
    """Everything that is asked for: results, verdicts, and the figures drawn from them."""
    default_target: True
    input:
        rules.everything.input,
        [getattr(rules, f"{name}_everything").input for name in OTHERS],
