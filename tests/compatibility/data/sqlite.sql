BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'main');
INSERT INTO "studies" VALUES(2,'promotion');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MINIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',2,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'tune_jobs:uid','"c586dafa"');
INSERT INTO "study_user_attributes" VALUES(2,2,'tune_jobs:uid','"233be277"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,2,1,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,4,1,0.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,5,1,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,9,1,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,6,1,0.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,9,2,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,10,1,0.125,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,7,1,0.125,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,11,1,0.125,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(11,11,2,0.125,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(12,10,2,0.125,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(13,11,4,0.125,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(14,8,1,0.375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(15,12,1,0.125,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'x',0.25,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(2,2,'x',0.75,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(3,3,'x',0.95,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(4,4,'x',0.5,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(5,5,'x',0.25,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(6,6,'x',0.5,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(7,9,'x',0.25,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(8,7,'x',0.125,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(9,10,'x',0.125,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(10,11,'x',0.125,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(11,8,'x',0.375,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(12,12,'x',0.125,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(13,13,'x',0.375,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"x": 0.25}');
INSERT INTO "trial_system_attributes" VALUES(2,2,'fixed_params','{"x": 0.75}');
INSERT INTO "trial_system_attributes" VALUES(3,3,'fixed_params','{"x": 0.95}');
INSERT INTO "trial_system_attributes" VALUES(4,4,'fixed_params','{"x": 0.5}');
INSERT INTO "trial_system_attributes" VALUES(5,5,'fixed_params','{"x": 0.25}');
INSERT INTO "trial_system_attributes" VALUES(6,6,'fixed_params','{"x": 0.5}');
INSERT INTO "trial_system_attributes" VALUES(7,7,'fixed_params','{"x": 0.125}');
INSERT INTO "trial_system_attributes" VALUES(8,8,'fixed_params','{"x": 0.375}');
INSERT INTO "trial_system_attributes" VALUES(9,9,'fixed_params','{"x": 0.25}');
INSERT INTO "trial_system_attributes" VALUES(10,10,'fixed_params','{"x": 0.125}');
INSERT INTO "trial_system_attributes" VALUES(11,11,'fixed_params','{"x": 0.125}');
INSERT INTO "trial_system_attributes" VALUES(12,12,'fixed_params','{"x": 0.125}');
INSERT INTO "trial_system_attributes" VALUES(13,13,'fixed_params','{"x": 0.375}');
INSERT INTO "trial_system_attributes" VALUES(14,14,'fixed_params','{"x": 0.625}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'tune_jobs:run','"trial-000000-1"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'tune_jobs:run_id','"main-c586dafa/trial-000000-1"');
INSERT INTO "trial_user_attributes" VALUES(3,1,'tune_jobs:cost','{"run_hours": 3.21964422861735e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(4,2,'tune_jobs:run','"trial-000001-1"');
INSERT INTO "trial_user_attributes" VALUES(5,2,'tune_jobs:run_id','"main-c586dafa/trial-000001-1"');
INSERT INTO "trial_user_attributes" VALUES(6,2,'tune_jobs:cause','"pruned at step 1"');
INSERT INTO "trial_user_attributes" VALUES(7,2,'tune_jobs:cost','{"run_hours": 0.0002386669980155097, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(8,3,'tune_jobs:run','"trial-000002-1"');
INSERT INTO "trial_user_attributes" VALUES(9,3,'tune_jobs:run_id','"main-c586dafa/trial-000002-1"');
INSERT INTO "trial_user_attributes" VALUES(10,3,'tune_jobs:cause','"exit code 3\nout of data"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'tune_jobs:cost','{"run_hours": 3.684825367397732e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(12,4,'tune_jobs:run','"trial-000003-1"');
INSERT INTO "trial_user_attributes" VALUES(13,4,'tune_jobs:run_id','"main-c586dafa/trial-000003-1"');
INSERT INTO "trial_user_attributes" VALUES(14,4,'tune_jobs:cost','{"run_hours": 2.015829086303711e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(15,5,'tune_jobs:run','"trial-000000-1"');
INSERT INTO "trial_user_attributes" VALUES(16,5,'tune_jobs:rung','{"bracket": 0, "index": 0, "budget": 1, "after": null}');
INSERT INTO "trial_user_attributes" VALUES(17,5,'tune_jobs:run_id','"promotion-233be277/trial-000000-1"');
INSERT INTO "trial_user_attributes" VALUES(18,5,'tune_jobs:cost','{"run_hours": 2.0265579223632812e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(19,5,'tune_jobs:reached','0.25');
INSERT INTO "trial_user_attributes" VALUES(20,6,'tune_jobs:run','"trial-000001-1"');
INSERT INTO "trial_user_attributes" VALUES(21,6,'tune_jobs:rung','{"bracket": 0, "index": 0, "budget": 1, "after": null}');
INSERT INTO "trial_user_attributes" VALUES(22,9,'tune_jobs:rung','{"bracket": 0, "index": 1, "budget": 2, "after": 0}');
INSERT INTO "trial_user_attributes" VALUES(23,9,'tune_jobs:run','"trial-000004-1"');
INSERT INTO "trial_user_attributes" VALUES(24,6,'tune_jobs:run_id','"promotion-233be277/trial-000001-1"');
INSERT INTO "trial_user_attributes" VALUES(25,6,'tune_jobs:cost','{"run_hours": 2.2123919592963323e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(26,6,'tune_jobs:reached','0.5');
INSERT INTO "trial_user_attributes" VALUES(27,9,'tune_jobs:run_id','"promotion-233be277/trial-000004-1"');
INSERT INTO "trial_user_attributes" VALUES(28,9,'tune_jobs:cost','{"run_hours": 5.599127875434028e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(29,9,'tune_jobs:reached','0.25');
INSERT INTO "trial_user_attributes" VALUES(30,7,'tune_jobs:run','"trial-000002-1"');
INSERT INTO "trial_user_attributes" VALUES(31,7,'tune_jobs:rung','{"bracket": 0, "index": 0, "budget": 1, "after": null}');
INSERT INTO "trial_user_attributes" VALUES(32,10,'tune_jobs:rung','{"bracket": 0, "index": 1, "budget": 2, "after": 2}');
INSERT INTO "trial_user_attributes" VALUES(33,10,'tune_jobs:run','"trial-000005-1"');
INSERT INTO "trial_user_attributes" VALUES(34,7,'tune_jobs:run_id','"promotion-233be277/trial-000002-1"');
INSERT INTO "trial_user_attributes" VALUES(35,7,'tune_jobs:cost','{"run_hours": 1.063876681857639e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(36,7,'tune_jobs:reached','0.125');
INSERT INTO "trial_user_attributes" VALUES(37,11,'tune_jobs:rung','{"bracket": 0, "index": 2, "budget": 4, "after": 5}');
INSERT INTO "trial_user_attributes" VALUES(38,11,'tune_jobs:run','"trial-000006-1"');
INSERT INTO "trial_user_attributes" VALUES(39,10,'tune_jobs:run_id','"promotion-233be277/trial-000005-1"');
INSERT INTO "trial_user_attributes" VALUES(40,10,'tune_jobs:cost','{"run_hours": 5.529721577962239e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(41,10,'tune_jobs:reached','0.125');
INSERT INTO "trial_user_attributes" VALUES(42,11,'tune_jobs:run_id','"promotion-233be277/trial-000006-1"');
INSERT INTO "trial_user_attributes" VALUES(43,11,'tune_jobs:cost','{"run_hours": 5.549258655971951e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(44,11,'tune_jobs:reached','0.125');
INSERT INTO "trial_user_attributes" VALUES(45,8,'tune_jobs:run','"trial-000003-1"');
INSERT INTO "trial_user_attributes" VALUES(46,8,'tune_jobs:rung','{"bracket": 0, "index": 0, "budget": 1, "after": null}');
INSERT INTO "trial_user_attributes" VALUES(47,8,'tune_jobs:run_id','"promotion-233be277/trial-000003-1"');
INSERT INTO "trial_user_attributes" VALUES(48,8,'tune_jobs:cost','{"run_hours": 1.1475880940755209e-06, "money": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(49,8,'tune_jobs:reached','0.375');
INSERT INTO "trial_user_attributes" VALUES(50,12,'tune_jobs:run','"trial-000004-1"');
INSERT INTO "trial_user_attributes" VALUES(51,13,'tune_jobs:run','"trial-000005-1"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.25,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,0.75,'FINITE');
INSERT INTO "trial_values" VALUES(3,4,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(4,5,0,0.25,'FINITE');
INSERT INTO "trial_values" VALUES(5,6,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(6,9,0,0.25,'FINITE');
INSERT INTO "trial_values" VALUES(7,7,0,0.125,'FINITE');
INSERT INTO "trial_values" VALUES(8,10,0,0.125,'FINITE');
INSERT INTO "trial_values" VALUES(9,11,0,0.125,'FINITE');
INSERT INTO "trial_values" VALUES(10,8,0,0.375,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-25 21:39:31.056543','2026-11-25 21:39:31.169928');
INSERT INTO "trials" VALUES(2,1,1,'PRUNED','2026-11-25 21:39:31.170685','2026-11-25 21:39:32.128376');
INSERT INTO "trials" VALUES(3,2,1,'FAIL','2026-11-25 21:39:32.129086','2026-11-25 21:39:32.218535');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-25 21:39:32.219249','2026-11-25 21:39:32.300688');
INSERT INTO "trials" VALUES(5,0,2,'PRUNED','2026-11-25 21:39:34.960381','2026-11-25 21:39:35.037726');
INSERT INTO "trials" VALUES(6,1,2,'PRUNED','2026-11-25 21:39:35.038473','2026-11-25 21:39:35.121494');
INSERT INTO "trials" VALUES(7,2,2,'PRUNED','2026-11-25 21:39:35.190648','2026-11-25 21:39:35.245571');
INSERT INTO "trials" VALUES(8,3,2,'PRUNED','2026-11-25 21:39:35.369656','2026-11-25 21:39:35.436131');
INSERT INTO "trials" VALUES(9,4,2,'PRUNED','2026-11-25 21:39:35.121811','2026-11-25 21:39:35.189953');
INSERT INTO "trials" VALUES(10,5,2,'PRUNED','2026-11-25 21:39:35.245843','2026-11-25 21:39:35.305762');
INSERT INTO "trials" VALUES(11,6,2,'COMPLETE','2026-11-25 21:39:35.306047','2026-11-25 21:39:35.368943');
INSERT INTO "trials" VALUES(12,4,1,'RUNNING','2026-11-25 21:39:37.387044',NULL);
INSERT INTO "trials" VALUES(13,5,1,'RUNNING','2026-11-25 21:39:38.443787',NULL);
INSERT INTO "trials" VALUES(14,6,1,'WAITING',NULL,NULL);
CREATE TABLE tune_jobs_attempts (
	id INTEGER NOT NULL, 
	study VARCHAR(16) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	trial INTEGER, 
	attempt INTEGER NOT NULL, 
	backend VARCHAR(32) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	run_id VARCHAR(255), 
	invocation TEXT NOT NULL, 
	digest VARCHAR(64), 
	shape VARCHAR(64), 
	intended FLOAT NOT NULL, 
	accepted FLOAT, 
	started FLOAT, 
	finished FLOAT, 
	told FLOAT, 
	cause TEXT, 
	exit_code INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (study, name)
);
INSERT INTO "tune_jobs_attempts" VALUES(1,'c586dafa','trial-000000-1',0,1,'local','SUCCEEDED','main-c586dafa/trial-000000-1','{"argv": ["--x=0.25"], "env": {}, "files": {}}','33408e36ba80c661e80ebe2587c586d2db4bca19038cfa88a113c7bb9c9bc03a',NULL,1.79564277109570312497e+09,1.79564277114711952215e+09,1.79564277115661621092e+09,1.79564277116820693019e+09,1.79564277121878051752e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(2,'c586dafa','trial-000001-1',1,1,'local','CANCELED','main-c586dafa/trial-000001-1','{"argv": ["--x=0.75"], "env": {}, "files": {}}','aacbb21a9a983870c4c75d636e00ffce0642ccbca586a25498463ad7de233fca',NULL,1.79564277120472359653e+09,1.79564277126708459852e+09,1.79564277126806759836e+09,1.79564277212726879119e+09,1.79564277216586160664e+09,'pruned at step 1',NULL);
INSERT INTO "tune_jobs_attempts" VALUES(3,'c586dafa','trial-000002-1',2,1,'local','FAILED','main-c586dafa/trial-000002-1','{"argv": ["--x=0.95"], "env": {}, "files": {}}','d4cc28e7ab7ff4839ebb04c0a0effdaa32a821682485b5b86b63db488cbafb6d',NULL,1.79564277216421627997e+09,1.79564277220309495919e+09,1.79564277220401692387e+09,1.79564277221728229522e+09,1.79564277225704693793e+09,'exit code 3
out of data',3);
INSERT INTO "tune_jobs_attempts" VALUES(4,'c586dafa','trial-000003-1',3,1,'local','SUCCEEDED','main-c586dafa/trial-000003-1','{"argv": ["--x=0.5"], "env": {}, "files": {}}','3d78e96c25fef82cd196ec23370f85a0d58a60922badac5b6f8d640987969f62',NULL,1.79564277225555539128e+09,1.79564277229108500482e+09,1.79564277229201126094e+09,1.79564277229926824567e+09,1.79564277230272507663e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(5,'c586dafa','final-1-1',0,1,'local','SUCCEEDED','main-c586dafa/final-1-1','{"argv": ["--x=0.25"], "env": {}, "files": {}, "key": "{\"arguments\": {}, \"params\": {\"x\": 0.25}, \"trial\": 0}", "resources": {}}','33408e36ba80c661e80ebe2587c586d2db4bca19038cfa88a113c7bb9c9bc03a',NULL,1.79564277254092884063e+09,1.79564277291986441617e+09,1.79564277292520952222e+09,1.7956427729435374737e+09,1.79564277402209544181e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(6,'233be277','trial-000000-1',0,1,'local','SUCCEEDED','promotion-233be277/trial-000000-1','{"argv": ["--x=0.25", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','47726fc4cc1342f108819cac38669d2aac7de81b40f371d8a6d3060bbaecae0c',NULL,1.79564277497273349758e+09,1.79564277501611924171e+09,1.79564277502889227868e+09,1.79564277503618788724e+09,1.79564277509177374842e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(7,'233be277','trial-000001-1',1,1,'local','SUCCEEDED','promotion-233be277/trial-000001-1','{"argv": ["--x=0.5", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','b869afc749c27838f1e1822cb776c50517932c3acfab2c284595fc726def27e7',NULL,1.7956427750796716213e+09,1.79564277511105799679e+09,1.79564277511214470867e+09,1.79564277512010931963e+09,1.79564277513973784448e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(8,'233be277','trial-000004-1',4,1,'local','SUCCEEDED','promotion-233be277/trial-000004-1','{"argv": ["--x=0.25", "--epochs=2"], "env": {}, "files": {}, "budget": 2, "resume": ["trial-000000-1"]}','984be7f8c6bf9c5881b6dea2d1012c2344a3f65f774ddf30d1adecfdf294b81b',NULL,1.79564277512226247784e+09,1.79564277516708445544e+09,1.79564277516822886466e+09,1.795642775188385725e+09,1795642775.22478,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(9,'233be277','trial-000002-1',2,1,'local','SUCCEEDED','promotion-233be277/trial-000002-1','{"argv": ["--x=0.125", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','d653172bfdd003d3c25743d8452d8c81cbce2f9f8a8cf3efd6a150a6106b552b',NULL,1.79564277521871829036e+09,1.79564277523906397817e+09,1.7956427752404127121e+09,1.7956427752442426682e+09,1.79564277525720858569e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(10,'233be277','trial-000005-1',5,1,'local','SUCCEEDED','promotion-233be277/trial-000005-1','{"argv": ["--x=0.125", "--epochs=2"], "env": {}, "files": {}, "budget": 2, "resume": ["trial-000002-1"]}','800fa299bea353c4f34080647592e20436a7839e3961da4e7b17718d7f3c3b1c',NULL,1.79564277524625921247e+09,1.79564277528316831584e+09,1.79564277528447747232e+09,1.79564277530438446998e+09,1.79564277531861877438e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(11,'233be277','trial-000006-1',6,1,'local','SUCCEEDED','promotion-233be277/trial-000006-1','{"argv": ["--x=0.125", "--epochs=4"], "env": {}, "files": {}, "budget": 4, "resume": ["trial-000005-1"]}','d79d3e1a0c0679567fc5a74a1fbdbcdf483b332993580afc6d879e1ccee7f2b4',NULL,1.79564277530644059175e+09,1.79564277534643602376e+09,1.79564277534760236738e+09,1.79564277536757969854e+09,1.79564277539744234085e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(12,'233be277','trial-000003-1',3,1,'local','SUCCEEDED','promotion-233be277/trial-000003-1','{"argv": ["--x=0.375", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','e2f1c56e37c26ae3481ec93d13f2750867dc1c964178c0da5a6f08786b120652',NULL,1795642775.39563,1.79564277542953133585e+09,1.79564277543076324461e+09,1.79564277543489456178e+09,1.79564277543788099284e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(13,'c586dafa','trial-000004-1',4,1,'local','SUBMITTED','main-c586dafa/trial-000004-1','{"argv": ["--x=0.125"], "env": {}, "files": {}}','06d20f91fc0f1427fdc070a3e4cf69fe91d2a618c080267d7411274ba8e78c05',NULL,1.79564277741239690776e+09,1.79564277745911192894e+09,1.79564277837935638423e+09,NULL,NULL,NULL,NULL);
INSERT INTO "tune_jobs_attempts" VALUES(14,'c586dafa','trial-000005-1',5,1,'local','INTENDED',NULL,'{"argv": ["--x=0.375"], "env": {}, "files": {}}','c9267ec1e5072d5a7001c7b228862f57aec1d9138074150f51f91388008692da',NULL,1.7956427784690620899e+09,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE tune_jobs_controls (
	id INTEGER NOT NULL, 
	study VARCHAR(16) NOT NULL, 
	command VARCHAR(32) NOT NULL, 
	argument TEXT NOT NULL, 
	issued FLOAT NOT NULL, 
	done FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "tune_jobs_controls" VALUES(1,'c586dafa','set','{"max_parallel": 2}',1.79564277806854820252e+09,1.79564277840999698639e+09);
CREATE TABLE tune_jobs_owners (
	study VARCHAR(16) NOT NULL, 
	token INTEGER NOT NULL, 
	beat INTEGER NOT NULL, 
	owner VARCHAR(255), 
	since FLOAT, 
	PRIMARY KEY (study)
);
INSERT INTO "tune_jobs_owners" VALUES('c586dafa',2,6,'{host}|{boot}|20472|534782|e57783a0',1.79564277692024660106e+09);
INSERT INTO "tune_jobs_owners" VALUES('233be277',1,12,NULL,1.79564277461935448642e+09);
CREATE TABLE tune_jobs_schema (
	version INTEGER NOT NULL
);
INSERT INTO "tune_jobs_schema" VALUES(2);
CREATE TABLE tune_jobs_studies (
	uid VARCHAR(16) NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	store VARCHAR(1024) NOT NULL, 
	definition TEXT NOT NULL, 
	PRIMARY KEY (uid)
);
INSERT INTO "tune_jobs_studies" VALUES('c586dafa','main','{folder}/runs','{"data": {}, "space": {"parameters": {"x": {"type": "float", "step": null, "low": 0.0, "high": 1.0, "log": false}}}, "run": {"backend": "local", "command": ["{shell}", "{folder}/train.sh"], "code_sha256": "3d7f0c2980b47e9d2a663a4fa6529666df227dcb7360b0f05e66c06243bca56b", "working_directory_links": []}, "metrics": [{"name": "value", "counts": "last", "pattern": null}], "directions": ["minimize"], "limits": {"n_trials": 6, "max_parallel": 1}}');
INSERT INTO "tune_jobs_studies" VALUES('233be277','promotion','{folder}/runs','{"data": {}, "space": {"parameters": {"x": {"type": "float", "step": null, "low": 0.0, "high": 1.0, "log": false}}}, "run": {"backend": "local", "command": ["{shell}", "{folder}/train.sh"], "code_sha256": "3d7f0c2980b47e9d2a663a4fa6529666df227dcb7360b0f05e66c06243bca56b", "working_directory_links": []}, "metrics": [{"name": "value", "counts": "last", "pattern": null}], "directions": ["minimize"], "limits": {"n_trials": 4, "max_parallel": 1}}');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_tune_jobs_attempts_study ON tune_jobs_attempts (study);
CREATE INDEX ix_tune_jobs_controls_study ON tune_jobs_controls (study);
COMMIT;
