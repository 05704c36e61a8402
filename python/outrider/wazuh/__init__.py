"""The configuration of a Wazuh node, read and said in settings of ours; what has none is named. Nothing is guessed."""
