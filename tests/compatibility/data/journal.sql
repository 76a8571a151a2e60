BEGIN TRANSACTION;
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
INSERT INTO "tune_jobs_attempts" VALUES(1,'aae3e10c','trial-000000-1',0,1,'local','SUCCEEDED','main-aae3e10c/trial-000000-1','{"argv": ["--x=0.25"], "env": {}, "files": {}}','33408e36ba80c661e80ebe2587c586d2db4bca19038cfa88a113c7bb9c9bc03a',NULL,1.79564277955430197713e+09,1.79564277966314792631e+09,1.79564277967683482168e+09,1.79564277969218897817e+09,1.79564277979854345322e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(2,'aae3e10c','trial-000001-1',1,1,'local','CANCELED','main-aae3e10c/trial-000001-1','{"argv": ["--x=0.75"], "env": {}, "files": {}}','aacbb21a9a983870c4c75d636e00ffce0642ccbca586a25498463ad7de233fca',NULL,1.79564277971582126613e+09,1.79564277991660833358e+09,1.79564277992522358887e+09,1.79564278067101359363e+09,1.79564278075581169134e+09,'pruned at step 1',NULL);
INSERT INTO "tune_jobs_attempts" VALUES(3,'aae3e10c','trial-000002-1',2,1,'local','FAILED','main-aae3e10c/trial-000002-1','{"argv": ["--x=0.95"], "env": {}, "files": {}}','d4cc28e7ab7ff4839ebb04c0a0effdaa32a821682485b5b86b63db488cbafb6d',NULL,1.79564278069685554503e+09,1.79564278079949808122e+09,1.79564278080031967162e+09,1.79564278080401277539e+09,1.79564278090361809734e+09,'exit code 3
out of data',3);
INSERT INTO "tune_jobs_attempts" VALUES(4,'aae3e10c','trial-000003-1',3,1,'local','SUCCEEDED','main-aae3e10c/trial-000003-1','{"argv": ["--x=0.5"], "env": {}, "files": {}}','3d78e96c25fef82cd196ec23370f85a0d58a60922badac5b6f8d640987969f62',NULL,1.79564278083139824862e+09,1.79564278098715806005e+09,1.79564278098829174044e+09,1.79564278098999929433e+09,1.7956427810552544594e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(5,'aae3e10c','final-1-1',0,1,'local','SUCCEEDED','main-aae3e10c/final-1-1','{"argv": ["--x=0.25"], "env": {}, "files": {}, "key": "{\"arguments\": {}, \"params\": {\"x\": 0.25}, \"trial\": 0}", "resources": {}}','33408e36ba80c661e80ebe2587c586d2db4bca19038cfa88a113c7bb9c9bc03a',NULL,1.79564278125340747839e+09,1.79564278165743207923e+09,1.79564278166832065586e+09,1.79564278167255353922e+09,1.7956427822715573311e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(6,'83be506e','trial-000000-1',0,1,'local','SUCCEEDED','promotion-83be506e/trial-000000-1','{"argv": ["--x=0.25", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','47726fc4cc1342f108819cac38669d2aac7de81b40f371d8a6d3060bbaecae0c',NULL,1.79564278271092438695e+09,1.79564278275936436654e+09,1.79564278276851153372e+09,1.79564278277057909967e+09,1.79564278283119750029e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(7,'83be506e','trial-000001-1',1,1,'local','SUCCEEDED','promotion-83be506e/trial-000001-1','{"argv": ["--x=0.5", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','b869afc749c27838f1e1822cb776c50517932c3acfab2c284595fc726def27e7',NULL,1.79564278278388333325e+09,1.79564278287997984885e+09,1.79564278288127326965e+09,1.79564278288720059395e+09,1.79564278293275308602e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(8,'83be506e','trial-000004-1',4,1,'local','SUCCEEDED','promotion-83be506e/trial-000004-1','{"argv": ["--x=0.25", "--epochs=2"], "env": {}, "files": {}, "budget": 2, "resume": ["trial-000000-1"]}','984be7f8c6bf9c5881b6dea2d1012c2344a3f65f774ddf30d1adecfdf294b81b',NULL,1.79564278288971424096e+09,1.79564278296723675728e+09,1.79564278296848726275e+09,1795642782.98858,1.79564278303987574572e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(9,'83be506e','trial-000002-1',2,1,'local','SUCCEEDED','promotion-83be506e/trial-000002-1','{"argv": ["--x=0.125", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','d653172bfdd003d3c25743d8452d8c81cbce2f9f8a8cf3efd6a150a6106b552b',NULL,1.7956427830000436306e+09,1.79564278307920670513e+09,1.79564278308082032201e+09,1.7956427830884065628e+09,1.79564278312749218934e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(10,'83be506e','trial-000005-1',5,1,'local','SUCCEEDED','promotion-83be506e/trial-000005-1','{"argv": ["--x=0.125", "--epochs=2"], "env": {}, "files": {}, "budget": 2, "resume": ["trial-000002-1"]}','800fa299bea353c4f34080647592e20436a7839e3961da4e7b17718d7f3c3b1c',NULL,1.79564278309058141707e+09,1.79564278316123247143e+09,1.79564278316233015067e+09,1.79564278318783044816e+09,1.79564278323336720469e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(11,'83be506e','trial-000006-1',6,1,'local','SUCCEEDED','promotion-83be506e/trial-000006-1','{"argv": ["--x=0.125", "--epochs=4"], "env": {}, "files": {}, "budget": 4, "resume": ["trial-000005-1"]}','d79d3e1a0c0679567fc5a74a1fbdbcdf483b332993580afc6d879e1ccee7f2b4',NULL,1.79564278319241452217e+09,1.7956427832793183327e+09,1.79564278328074026103e+09,1.79564278330329966546e+09,1.79564278337121796614e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(12,'83be506e','trial-000003-1',3,1,'local','SUCCEEDED','promotion-83be506e/trial-000003-1','{"argv": ["--x=0.375", "--epochs=1"], "env": {}, "files": {}, "budget": 1}','e2f1c56e37c26ae3481ec93d13f2750867dc1c964178c0da5a6f08786b120652',NULL,1.79564278331975793836e+09,1.79564278339552211758e+09,1.79564278340000152587e+09,1.79564278340194654467e+09,1.79564278344065093992e+09,NULL,0);
INSERT INTO "tune_jobs_attempts" VALUES(13,'aae3e10c','trial-000004-1',4,1,'local','SUBMITTED','main-aae3e10c/trial-000004-1','{"argv": ["--x=0.125"], "env": {}, "files": {}}','06d20f91fc0f1427fdc070a3e4cf69fe91d2a618c080267d7411274ba8e78c05',NULL,1.7956427840479602814e+09,1.7956427840991060733e+09,1.79564278504429578782e+09,NULL,NULL,NULL,NULL);
INSERT INTO "tune_jobs_attempts" VALUES(14,'aae3e10c','trial-000005-1',5,1,'local','INTENDED',NULL,'{"argv": ["--x=0.375"], "env": {}, "files": {}}','c9267ec1e5072d5a7001c7b228862f57aec1d9138074150f51f91388008692da',NULL,1.79564278511689734462e+09,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE tune_jobs_controls (
	id INTEGER NOT NULL, 
	study VARCHAR(16) NOT NULL, 
	command VARCHAR(32) NOT NULL, 
	argument TEXT NOT NULL, 
	issued FLOAT NOT NULL, 
	done FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "tune_jobs_controls" VALUES(1,'aae3e10c','set','{"max_parallel": 2}',1.79564278470511531826e+09,1.79564278510047650337e+09);
CREATE TABLE tune_jobs_owners (
	study VARCHAR(16) NOT NULL, 
	token INTEGER NOT NULL, 
	beat INTEGER NOT NULL, 
	owner VARCHAR(255), 
	since FLOAT, 
	PRIMARY KEY (study)
);
INSERT INTO "tune_jobs_owners" VALUES('aae3e10c',2,4,'{host}|{boot}|20666|535585|5bd9e19c',1.79564278371786260608e+09);
INSERT INTO "tune_jobs_owners" VALUES('83be506e',1,8,NULL,1.79564278239464950558e+09);
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
INSERT INTO "tune_jobs_studies" VALUES('aae3e10c','main','{folder}/runs','{"data": {}, "space": {"parameters": {"x": {"type": "float", "step": null, "low": 0.0, "high": 1.0, "log": false}}}, "run": {"backend": "local", "command": ["{shell}", "{folder}/train.sh"], "code_sha256": "3d7f0c2980b47e9d2a663a4fa6529666df227dcb7360b0f05e66c06243bca56b", "working_directory_links": []}, "metrics": [{"name": "value", "counts": "last", "pattern": null}], "directions": ["minimize"], "limits": {"n_trials": 6, "max_parallel": 1}}');
INSERT INTO "tune_jobs_studies" VALUES('83be506e','promotion','{folder}/runs','{"data": {}, "space": {"parameters": {"x": {"type": "float", "step": null, "low": 0.0, "high": 1.0, "log": false}}}, "run": {"backend": "local", "command": ["{shell}", "{folder}/train.sh"], "code_sha256": "3d7f0c2980b47e9d2a663a4fa6529666df227dcb7360b0f05e66c06243bca56b", "working_directory_links": []}, "metrics": [{"name": "value", "counts": "last", "pattern": null}], "directions": ["minimize"], "limits": {"n_trials": 4, "max_parallel": 1}}');
CREATE INDEX ix_tune_jobs_attempts_study ON tune_jobs_attempts (study);
CREATE INDEX ix_tune_jobs_controls_study ON tune_jobs_controls (study);
COMMIT;
