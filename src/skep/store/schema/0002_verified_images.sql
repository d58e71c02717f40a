-- Images whose signature a rule of the trust policy accepted. While the rule is the same, nobody is asked again.
CREATE TABLE verified_images (
    digest TEXT NOT NULL,               -- of the index or manifest that was asked for
    rule TEXT NOT NULL,                 -- fingerprint of the rule, its keys and the trusted root
    image TEXT NOT NULL,                -- the name under which it was loaded, for people
    signer TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (digest, rule)
) STRICT, WITHOUT ROWID;
