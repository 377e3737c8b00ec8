#!/bin/sh
# What became of the Slurm job $1, for Snakemake's cluster-generic plugin: running, success or failed. Needs no accounting.
said=$(scontrol show job --oneliner "$1" 2>&1)
case $said in
    *JobState=COMPLETED*) echo success ;;
    *JobState=PENDING* | *JobState=CONFIGURING* | *JobState=RUNNING* | *JobState=COMPLETING* | *JobState=SUSPENDED* | *JobState=REQUEUE*)
        echo running ;;
    *JobState=*) echo failed ;;                  # CANCELLED, FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED, ...
    *"Invalid job id"*) echo failed ;;           # forgotten, MinJobAge after its end
    *) echo running ;;                           # the controller does not answer: ask again
esac
