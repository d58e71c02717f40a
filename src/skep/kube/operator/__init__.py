"""The operator: deploys daemon, agent and CSI driver, and adds up what the agents report.

Pure: ``records`` (what is kept of each object), ``aggregate`` (states -> status), ``settings``, ``deploy`` and
``daemonset`` (Config -> objects), ``logins`` (pull secrets -> Roles). ``view`` is what is seen of the cluster;
``applications``, ``configs``, ``granting`` and ``vanishing`` act, each on one thing at a time. ``leading`` runs these,
and ``program`` is the process.
"""
